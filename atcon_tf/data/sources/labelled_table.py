"""A table with a row for each image, or for each box of an image.

    path,label,split                      path,cat,dog,group
    cats/1.jpg,cat,train                  1.jpg,1,0,home_7
    cats/2.jpg,,                          2.jpg,1,1,home_7

Columns, in any order, in upper or lower case:

    path              the image (or `file_name`, `filename`, `file`, `image`),
                      relative to `data_dir`, or without it to the folder of
                      the table
    label, labels     the names of its classes; "|" and ";" separate several,
                      in `labels` also ","; empty: the classes are unknown
    any other         without a column of labels: 1 where the image shows the
                      class of this name, else 0; all empty: unknown
    split             train, val or test, for all images or for none
    group             see `groups`
    x1, y1, x2, y2    a box of the row's class, in pixels; or, if no number of
                      the table is above 1, in units of the image's sides. An
                      image with several boxes has several rows
    mask              an image of the same size with one channel: 0 background,
                      else 1 + the class's place in the order of the classes,
                      255 unknown; if the row has one class, any one value
                      means this class
    objects           of Hugging Face's JSON Lines: `{"bbox": [[x, y, width,
                      height], ...], "categories": [class, ...]}`, in pixels

Classes are in the order of their columns, or sorted (as numbers if all are).
An image can show several classes if a row says so or the column is `labels`.
"""

import functools
import os

import numpy as np
import PIL.Image

from atcon_tf.config import UserError
from atcon_tf.data.sources import annotated
from atcon_tf.data.sources import box_units
from atcon_tf.data.sources import table_file

PATHS = ("path", "file_name", "filename", "file", "image")
_BOX = ("x1", "y1", "x2", "y2")
_KNOWN = (*PATHS, "label", "labels", "objects", "split", "group", *_BOX,
          "mask")
_YES_NO = {"1": True, "1.0": True, "true": True,
           "0": False, "0.0": False, "false": False}
UNKNOWN = 255


def load(table, data_dir="", classes=(), group_column="", seed=0, judged=()):
  """Reads a table.

  Args:
    table: a file or a folder, see `table_file`.
    data_dir: folder to which paths are relative; empty: that of the table.
    classes: names of the classes to use; empty: all.
    group_column: name of the column of groups; empty: `group`, if there is
      one.
    seed: seed of the draw of the parts that the table does not give.
    judged: see `annotated.dataset`.
  Returns:
    a `Dataset`. The id of an image is its path below the folder.
  Raises:
    UserError: the error names the file and the row.
  """
  if data_dir and not os.path.isdir(data_dir):
    raise UserError("data_dir", data_dir, "no such folder")
  if data_dir and os.path.isdir(table):
    raise UserError("data_dir", data_dir,
                    "not used with a folder as --table: its paths are "
                    "relative to the tables in it")
  sheets = [_Reader(sheet, group_column, classes)
            for sheet in table_file.read(table)]
  top = data_dir or (table if os.path.isdir(table) else
                     os.path.dirname(table) or ".")
  known = {}
  for sheet in sheets:
    for row in sheet.read(top, data_dir):
      known[row.id] = _joined(known.get(row.id), row)
  images = list(known.values())
  if all(image.names is None for image in images):
    raise UserError("table", table, "no row has a label")
  check_parts(images)
  pixels = any(v > 1 for i in images for _, box, _ in i.boxes for v in box)
  images = [i._replace(boxes=box_units.in_units(i.image, i.boxes, pixels))
            for i in images]
  order = _order(sheets, images)
  several = any(sheet.several for sheet in sheets) or any(
      i.names is not None and len(i.names) != 1 for i in images)
  notes = [f"note: an image {'can show several' if several else 'shows one'} "
           f"of {len(order)} classes"]
  notes += dict.fromkeys(note for sheet in sheets for note in sheet.notes)
  images = [i._replace(mask=i.mask and functools.partial(
      _read_mask, i.mask, order)) for i in images]
  return annotated.dataset(images, order, classes, several, seed, notes,
                           judged)


class _Reader:
  """Reads the rows of one sheet.

  Attributes:
    class_columns: names of the columns of 0 and 1; empty with labels.
    several: whether the column of labels says that there can be several.
    notes: lines for the person.
  """

  def __init__(self, sheet, group_column, classes):
    self.sheet, self.notes = sheet, []
    lower = {}
    for name in sheet.columns:
      lower.setdefault(name.lower(), name)
    self.column = {name: lower[name] for name in _KNOWN if name in lower}
    if group_column:
      if group_column not in sheet.columns:
        raise UserError("group_column", group_column,
                        f"{sheet.path} has no such column; it has "
                        f"{', '.join(sheet.columns)[:200]}")
      self.column["group"] = group_column
    self.path = next((self.column[n] for n in PATHS if n in self.column), "")
    if not self.path:
      raise UserError(f"{sheet.path}, row 1: no column 'path' (or "
                      f"{', '.join(PATHS[1:])}); it has "
                      f"{', '.join(sheet.columns)[:200]}")
    box = [name for name in _BOX if name in self.column]
    if box and len(box) < 4:
      raise UserError(f"{sheet.path}, row 1: a box needs the columns "
                      f"{', '.join(_BOX)}; there is only {', '.join(box)}")
    self.has_box = bool(box)
    self.label = next((self.column[n] for n in ("label", "labels", "objects")
                       if n in self.column), "")
    self.several = self.label.lower() == "labels"
    rest = [c for c in sheet.columns if c not in self.column.values()]
    self.class_columns = [] if self.label else self._of_classes(rest, classes)
    unused = [c for c in rest if c not in self.class_columns]
    if unused:
      self.notes.append(f"note: not used of the table: the columns "
                        f"{', '.join(unused)[:200]}")

  def _of_classes(self, columns, classes):
    """The columns of 0 and 1; those of other values must be left out."""
    found = []
    for column in columns:
      wrong = next(((n, row[column]) for n, row in self.sheet.rows
                    if row[column] and str(row[column]).lower()
                    not in _YES_NO), None)
      if not wrong:
        found.append(column)
      elif not classes or column in classes:
        raise UserError(
            f"{self.sheet.where(wrong[0])}: column '{column}' holds "
            f"'{wrong[1]}'; without a column of labels it is a class, and "
            "must be 0 or 1; --classes names the columns that are classes")
    if not found:
      raise UserError(f"{self.sheet.path}, row 1: no column 'label' or "
                      "'labels', and no column of 0 and 1 for a class; it has "
                      f"{', '.join(self.sheet.columns)[:200]}")
    return found

  def read(self, top, data_dir):
    """The rows as `Annotated`.

    Their masks are paths, and their boxes tuples of `(class name, the numbers
    of the table, file and row)`.

    Args:
      top: folder below which all images lie.
      data_dir: folder to which paths are relative; empty: the table's.
    """
    base = data_dir or os.path.dirname(self.sheet.path)
    for number, row in self.sheet.rows:
      where = self.sheet.where(number)
      image_id, image = annotated.find(top, base, str(row[self.path]),
                                       where)
      names, boxes = self._names(row, where), self._boxes(row, where)
      if self.label.lower() == "objects":
        names = tuple(dict.fromkeys(name for name, *_ in boxes))
      if self.has_box and (box := self._box(row, where)):
        if names is None or len(names) != 1:
          raise UserError(f"{where}: its box needs one class; it has "
                          f"{', '.join(names or ()) or 'none'}")
        boxes = ((names[0], box, where),)
      mask = self._cell(row, "mask")
      yield annotated.Annotated(
          image_id, image, names, boxes,
          mask and annotated.find(top, base, mask, where)[1],
          self.sheet.part or self._part(row, where),
          self._group(row, where), where)

  def _cell(self, row, name):
    """The text in a known column; empty without this column."""
    return str(row[self.column[name]]) if name in self.column else ""

  def _names(self, row, where):
    """The classes of a row; None: they are unknown."""
    if self.label:
      cell = row[self.label]
      if not isinstance(cell, str):
        names = [str(name).strip() for name in cell]
      else:
        for mark in "|," if self.several else "|":
          cell = cell.replace(mark, ";")
        names = [name.strip() for name in cell.split(";")]
      return tuple(dict.fromkeys(filter(None, names))) or (
          () if isinstance(row[self.label], list) else None)
    cells = {c: str(row[c]).lower() for c in self.class_columns}
    if not any(cells.values()):
      return None
    for column, cell in cells.items():
      if not cell:
        raise UserError(f"{where}: column '{column}' is empty; must be 0 or "
                        "1, or all columns of classes empty")
    return tuple(c for c, cell in cells.items() if _YES_NO[cell])

  def _boxes(self, row, where):
    """The boxes of a Hugging Face row."""
    cell = "objects" in self.column and row[self.column["objects"]]
    if not cell:
      return ()
    try:
      found = []
      for (x, y, w, h), name in zip(cell["bbox"], cell["categories"],
                                    strict=True):
        found.append((str(name), (x, y, x + w, y + h), where))
      return tuple(found)
    except (KeyError, TypeError, ValueError):
      raise UserError(
          f"{where}: objects must be {{'bbox': [[x, y, width, height], ...], "
          "'categories': [class, ...]}") from None

  def _box(self, row, where):
    """The numbers of a box; None without one."""
    cells = [self._cell(row, name) for name in _BOX]
    if not any(cells):
      return None
    try:
      return tuple(float(cell) for cell in cells)
    except ValueError:
      raise UserError(f"{where}: box {','.join(cells)} must be four numbers, "
                      f"{', '.join(_BOX)}") from None

  def _part(self, row, where):
    cell = self._cell(row, "split").lower()
    if cell and cell not in annotated.PARTS:
      raise UserError(f"{where}: split '{cell}' must be train, val or test")
    return annotated.PARTS.get(cell, "")

  def _group(self, row, where):
    if "group" in self.column and not self._cell(row, "group"):
      raise UserError(f"{where}: column '{self.column['group']}' is empty; "
                      "each image needs a group")
    return self._cell(row, "group")


def _joined(first, row):
  """An image with one more row of it; `first` is None for the first row."""
  if first is None:
    return row
  if not (row.boxes and first.boxes) or (first.mask, first.part, first.group
                                         ) != (row.mask, row.part, row.group):
    raise UserError(f"{row.where}: image '{row.id}' is also in "
                    f"{first.where}; only rows with boxes may repeat an image,"
                    " with the same split, group and mask")
  return first._replace(names=tuple(dict.fromkeys(first.names + row.names)),
                        boxes=first.boxes + row.boxes)


def check_parts(images):
  """Refuses an image without a part beside images that have one."""
  labelled = [i for i in images if i.names is not None]
  without = [i for i in labelled if not i.part]
  if without and len(without) < len(labelled):
    raise UserError(f"{without[0].where}: no split, but other rows have one")


def _order(sheets, images):
  """The class names in the order of the labels."""
  if sheets[0].class_columns:
    return tuple(dict.fromkeys(c for s in sheets for c in s.class_columns))
  return in_order({name for i in images for name in i.names or ()})


def in_order(names):
  """Class names sorted, as numbers if all are."""
  numbers = all(name.isdecimal() for name in names)
  return tuple(sorted(names, key=int if numbers else None))


def _read_mask(path, order, names, present):
  """Reads a mask, see the top of this file.

  Args:
    path: of the mask.
    order: all class names.
    names: the chosen ones.
    present: those that the image shows.
  Returns:
    uint8 `[height, width]` with the values of `Record.mask`; a chosen class
    that the image does not show is unknown.
  """
  try:
    with PIL.Image.open(path) as image:
      mode, values = image.mode, np.asarray(image).astype(np.uint8)
  except (OSError, SyntaxError) as error:
    raise UserError(f"{path}: not a readable mask: {error}") from None
  if mode not in ("1", "L", "P"):
    raise UserError(f"{path}: a mask must have one channel of 8 bits or less; "
                    f"the file is an image of mode {mode}")
  seen = set(np.unique(values).tolist()) - {0}
  if len(seen) == 1 and len(present) == 1:
    value = 1 + order.index(next(iter(present)))
    values, seen = np.where(values > 0, value, 0), {value}
  table = np.full([256], UNKNOWN, np.uint8)
  table[0] = 0
  for value in seen - {UNKNOWN}:
    if value > len(order):
      raise UserError(f"{path}: holds {value}; must be 0, 255, or 1 to "
                      f"{len(order)} for the classes")
    name = order[value - 1]
    if name not in names:
      table[value] = 0
    elif name in present:
      table[value] = 1 + names.index(name)
  return table[values]

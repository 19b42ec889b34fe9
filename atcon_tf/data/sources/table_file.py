"""Tables as files: CSV, TSV and JSON Lines, as rows of named cells.

The first line of a CSV names the columns; the character that is most frequent
in it (comma, semicolon or tab) separates the cells. A line of JSON Lines is an
object. A folder stands for the tables in it and in its folders `train`,
`valid` or `val`, and `test`, as Hugging Face (`metadata.csv`,
`metadata.jsonl`) and Roboflow (`_classes.csv`) write them.
"""

import io
import json
import os
import typing

from atcon_tf.config import UserError
from atcon_tf.data.sources import annotated

# The tables that a folder stands for.
NAMES = ("metadata.csv", "metadata.jsonl", "_classes.csv")


class Sheet(typing.NamedTuple):
  """One table.

  Attributes:
    path: of the file.
    part: "train", "val" or "test", by the folder; empty: the rows say it.
    columns: names of the columns.
    rows: list of `(number, {column: cell})`. A cell is text, or what JSON
      holds there; the number is that of a spreadsheet, which counts the
      header as 1.
  """

  path: str
  part: str
  columns: tuple[str, ...]
  rows: list

  def where(self, number):
    """File and row, for errors."""
    return f"{self.path}, row {number}"


def read(path):
  """The tables that a path names.

  Args:
    path: a file ending in .csv, .tsv, .txt or .jsonl, or a folder.
  Returns:
    list of `Sheet` with at least one row each.
  Raises:
    UserError: there is no table, or a row is malformed.
  """
  if not os.path.isdir(path):
    return [_read(path, "")]
  places = {path: ""} | {
      f.path: annotated.PARTS[f.name.lower()]
      for f in sorted(os.scandir(path), key=lambda f: f.name)
      if f.is_dir() and f.name.lower() in annotated.PARTS}
  found = [_read(file, part) for place, part in places.items()
           for name in NAMES
           if os.path.isfile(file := os.path.join(place, name))]
  if not found:
    raise UserError("table", path,
                    f"holds no {' or '.join(NAMES)}, nor do its folders "
                    "train, val and test")
  return found


def _read(path, part):
  """The `Sheet` of a file."""
  ending = os.path.splitext(path)[1].lower()
  if ending not in (".csv", ".tsv", ".txt", ".jsonl"):
    raise UserError("table", path,
                    "must end in .csv, .tsv, .txt or .jsonl, or be a folder")
  try:
    with open(path, encoding="utf-8-sig", newline="") as file:
      text = file.read()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError("table", path, getattr(error, "strerror", None)
                    or "not a UTF-8 text file") from None
  columns, rows = (_json_lines if ending == ".jsonl" else _csv)(path, text)
  if not rows:
    raise UserError("table", path, "no row in it")
  return Sheet(path, part, columns, rows)


def _csv(path, text):
  """Columns and rows of a CSV."""
  import pandas  # pylint: disable=g-import-not-at-top  slow to import
  header = text.partition("\n")[0]
  try:
    cells = pandas.read_csv(
        io.StringIO(text), header=None, dtype=str, keep_default_na=False,
        skip_blank_lines=False, skipinitialspace=True,
        sep=max(",;\t", key=header.count)).values.tolist()
  except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
    why = str(error).partition("C error: ")[2] or "no column in it"
    raise UserError(f"{path}: {why.strip()}") from None
  columns = tuple(name.strip() for name in cells[0])
  for name in columns:
    if not name:
      raise UserError(f"{path}, row 1: column {1 + columns.index(name)} has no "
                      "name")
    if columns.count(name) > 1:
      raise UserError(f"{path}, row 1: two columns are called '{name}'")
  return columns, [(number, dict(zip(columns, map(str.strip, row))))
                   for number, row in enumerate(cells[1:], 2) if any(row)]


def _json_lines(path, text):
  """Columns and rows of JSON Lines."""
  rows = []
  for number, line in enumerate(text.split("\n"), 1):
    if not line.strip():
      continue
    try:
      row = json.loads(line)
    except ValueError as error:
      raise UserError(f"{path}, row {number}: not JSON: {error}") from None
    if not isinstance(row, dict):
      raise UserError(f"{path}, row {number}: must be an object, as "
                      '{"file_name": "1.png", "label": "cat"}')
    rows.append((number, {key: "" if cell is None else cell if isinstance(
        cell, (list, dict)) else str(cell) for key, cell in row.items()}))
  columns = tuple(dict.fromkeys(key for _, row in rows for key in row))
  return columns, [(number, dict.fromkeys(columns, "") | row)
                   for number, row in rows]

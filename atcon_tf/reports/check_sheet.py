"""The findings of `data.image_check` as a table of text and as pictures."""

import textwrap

from matplotlib.figure import Figure
import numpy as np

from atcon_tf.data import image_store
from atcon_tf.reports import tables

# So many findings of a kind are listed, and so many are drawn in all.
LISTED, DRAWN = 10, 16
_SIDE = 160


def text(counts, findings):
  """The report as text: the classes, then what was found.

  Args:
    counts, findings: from `image_check.check`.
  """
  parts = list(counts["images"])
  lines = [["class", *parts]]
  lines += [[name, *(str(row.get(part, "")) for part in parts)]
            for name, row in counts["classes"].items()]
  lines.append(["images", *map(str, counts["images"].values())])
  blocks = [tables.align(lines)]
  labels = counts["labels"]
  if set(labels) != {"1"}:
    blocks.append("labels of an image: " + ", ".join(
        f"{n} in {count}" for n, count in labels.items()))
  if counts["together"]:
    blocks.append("most often together: " + ", ".join(
        f"{pair} ({count})" for pair, count in
        list(counts["together"].items())[:LISTED]))
  if counts["boxes"]:
    boxes = counts["boxes"]
    blocks.append(f"{boxes['number']} boxes in {boxes['images']} images; the "
                  f"median covers {boxes['median_area']:.1%}, "
                  f"{boxes['smaller_than_1_percent']} less than 1 %")
  for kind in dict.fromkeys(f.kind for f in findings):
    mine = [f for f in findings if f.kind == kind]
    shown = [f"  {'wrong' if f.wrong else 'note '}  {f.text}"
             for f in mine[:LISTED]]
    if len(mine) > LISTED:
      shown.append(f"  ... and {len(mine) - LISTED} more in the JSON file")
    blocks.append("\n".join([f"{kind}: {len(mine)}", *shown]))
  wrong = sum(f.wrong for f in findings)
  blocks.append(f"wrong: {wrong} of the findings" if wrong
                else "nothing is wrong")
  return "\n\n".join(blocks)


def draw(dataset, findings):
  """The first findings that images show, one a row.

  Args:
    dataset: the `record.Dataset` that was checked.
    findings: from `image_check.check`, the worst first.
  Returns:
    a matplotlib figure; None if no finding has an image.
  """
  findings = [f for f in findings if f.images][:DRAWN]
  if not findings:
    return None
  known = {r.id: r for part in dataset.splits.values() for r in part}
  figure = Figure(figsize=(6.4, 2.2 * len(findings)), layout="constrained")
  axes = figure.subplots(len(findings), 2, squeeze=False,
                         width_ratios=[1, 1.7])
  for row, finding in zip(axes, findings):
    for one in row:
      one.set_axis_off()
      one.set_anchor("W")  # a pair stands side by side
    for one, image_id in zip(row, finding.images):
      _show(one, known[image_id], finding.kind == "box")
    row[0].set_title("\n".join(textwrap.wrap(
        f"{finding.kind}: {finding.text}", 100)), fontsize=7, loc="left",
        parse_math=False)
  return figure


def _show(axes, record, boxes):
  """One image, the middle frame of a clip, or a grey square if broken."""
  try:
    image = image_store.decode(record, _SIDE)
    image = image[len(image) // 2] if record.frames else image
  except Exception:  # decoders raise almost anything
    image = np.full([_SIDE, _SIDE, 3], 200, np.uint8)
    axes.text(_SIDE / 2, _SIDE / 2, "does not decode", ha="center",
              fontsize=8)
  axes.imshow(image)
  for x1, y1, x2, y2 in (_SIDE * record.boxes).tolist() if boxes else ():
    axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color="#b2182b")

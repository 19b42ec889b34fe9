"""Scores and differences as tables of text."""

import textwrap

from atcon_tf.evaluation import comparison
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.evaluation import scoring
from atcon_tf.reports import kept_weights
from atcon_tf.reports import two_classes


def differences_table(differences, name):
  """The differences of all metrics as text.

  Args:
    differences: from `comparison.compare`.
    name: of the comparison, above the first column.
  """
  lines = [[name, "difference", "90 % interval", "p"]]
  lines += [[label, *_cells(row)]
            for label, row in _shown(differences).items()]
  notes = [f"Intervals and p are over {drawn(differences)}."] if (
      "groups" in differences) else []
  return "\n".join([align(lines), *(textwrap.fill(n, 79) for n in notes)])


def _shown(differences):
  """The differences of a table, `{label: difference}`."""
  return {label: differences[metric]
          for metric, label in rows(differences).items()
          if metric in differences and not metric.startswith("centre")}


def missing_notes(comparisons, classes=True, things="images"):
  """A list with why differences have no interval; [] if each has one.

  Args:
    comparisons: list of differences of all metrics, see `comparison.compare`.
    classes: whether those of single classes are shown, too.
    things: "images" or "clips".
  """
  found = [row for one in comparisons for row in (
      *_shown(one).values(),
      *(row for own in one.get("per_class", {}).values() if classes
        for row in own.values()))]
  return _meanings([ends(row["interval"]) for row in found], things)


# What stands in the place of an interval, and what that means.
CERTAIN, FEW = "[=]", "[-]"
_MEANINGS = {
    CERTAIN: "all resamples of these {0} give the same number, as the 1 of a "
             "perfect score, so that there is no interval; other {0} need not.",
    FEW: "no interval of a score of maps, or of a difference, in which fewer "
         "than 5 {0}, or groups of {0}, have a part."}


def _meanings(cells, things):
  """A list with the meaning of each sign at the end of a cell."""
  return [f"{sign}: {text.format(things)}" for sign, text in _MEANINGS.items()
          if any(one.endswith(sign) for one in cells)]


def shared(notes):
  """The notes of several runs as one list.

  Args:
    notes: `{name of a run: [sentence, ...]}`.
  Returns:
    the sentences, each once; one that not all runs have begins with the name
    of its run.
  """
  common = set.intersection(*map(set, notes.values()))
  return list(dict.fromkeys(
      note if note in common else f"{name}: {note}"
      for name, own in notes.items() for note in own))


def drawn(scores, things="images"):
  """What intervals are over, in words.

  Args:
    scores: of a part, or differences; "groups" is their number of groups.
    things: "images" or "clips".

  Example:
    >>> drawn({"groups": 12})
    '12 groups of images'
  """
  return (f"{scores['groups']} groups of {things}" if "groups" in scores
          else things)


def interval_notes(scores, things="images"):
  """Sentences on the intervals of a part; [] where it has none.

  Args:
    scores: see `scoring.judge`.
    things: "images" or "clips".
  """
  if not scores.get("ci90"):
    return []
  notes = [f"In brackets: 90 % intervals over {drawn(scores, things)}. Those "
           "of shares (accuracy, sensitivity, specificity, precision, pointing "
           "game) are exact binomial intervals"
           + f" of the effective number of {things}" * ("groups" in scores)
           + "."]
  return notes + _meanings([cell(scores, name) for name in rows(scores)],
                           things)


def _cells(row):
  return [difference(row), ends(row["interval"], "+.3f"), p_value(row)]


def ends(interval, form=".3f"):
  """An interval as text; `CERTAIN` or `FEW` where there is none.

  Args:
    interval: its two ends, or None.
    form: of an end, a format; an end that is rounded to 0 has no minus sign.
  """
  if interval is None:
    return FEW
  if statistics.certain(interval):
    return CERTAIN
  low, high = (format(end, form.replace(".", "z.")) for end in interval)
  return f"[{low}, {high}]"


def equal(row, digit=0.001):
  """Whether a difference is too small to be shown.

  One of 0.000 whose interval leaves out 0 would look like a contradiction.

  Args:
    row: has "difference" and "interval".
    digit: 1 in the last place that is printed.
  """
  return abs(row["difference"]) < digit / 2 and (
      row["interval"] is None or comparison.differs(row)
      or max(map(abs, row["interval"])) < digit / 2)


def difference(row):
  """A difference in three digits, or "equal"."""
  return "equal" if equal(row) else f"{row['difference']:+.3f}"


def p_value(row):
  """The p of a difference; "-" if it is too small to be shown, or certain."""
  nothing = equal(row) or statistics.certain(row["interval"])
  return "-" if nothing else f"{row['p']:.3f}"


def class_tables(differences, names):
  """The classes, a table for each metric, the largest gains first.

  Args:
    differences: from `compare`.
    names: of the first and of the second run.
  """
  blocks = []
  for metric, label in comparison.CLASS_METRICS.items():
    rows = comparison.of_classes(differences, metric)
    if rows:
      lines = [[f"{label} of a class", "images", *names, "difference",
                "90 % interval", "p", ""]]
      lines += [[c, str(row["images"]), f"{row['first']:.3f}",
                 f"{row['second']:.3f}", *_cells(row),
                 "*" if comparison.differs(row) else ""] for c, row in rows]
      found = [row["difference"] > 0 for _, row in rows
               if comparison.differs(row)]
      tested = sum(not statistics.certain(row["interval"]) for _, row in rows)
      blocks.append(align(lines) + (
          f"\n* interval without 0: {sum(found)} better, "
          f"{len(found) - sum(found)} worse of "
          f"{tested}; about {(1 - statistics.LEVEL) * tested:.2g} "
          "expected by chance alone") * bool(tested))
  return "\n\n".join(blocks)


# The scores in the order of a table, and their labels.
ROWS = {
    "accuracy": "accuracy",
    "map_macro": "mAP, macro", "map_weighted": "mAP, weighted",
    "f1_macro": "F1, macro", "f1_macro_at_half": "F1 at 0.5, macro",
    "f1_micro": "F1, micro", "auc_macro": "AUC, macro",
    "loss": "loss",
    "consistency": "consistency of maps",
    "consistency_raw": "consistency, raw mask",
    "box_iou": "box IoU", "centre_box_iou": "  (centred box)",
    "pointing_game": "pointing game",
    "centre_point_pointing_game": "  (centre point)",
    "mask_iou": "mask IoU", "centre_mask_iou": "  (centred mask)",
    "moment_iou": "moment IoU", "centre_moment_iou": "  (centred moment)",
    "moment_pointing_game": "pointing game in time",
    "centre_moment_pointing_game": "  (middle of the clip)",
}
_SENSITIVITY = "sensitivity_at_"


def rows(*parts):
  """`{metric: label}`: ROWS, and a sensitivity for each rate of alarms.

  Args:
    parts: scores as `scoring.judge` gives them.
  """
  rates = {name.removeprefix(_SENSITIVITY) for part in parts for name in part
           if name.startswith(_SENSITIVITY)}
  return ROWS | {_SENSITIVITY + rate: f"sensitivity at {rate} alarms"
                 for rate in sorted(rates, key=float)}


def scores_table(results, part="test"):
  """Scores of several results side by side, as text.

  Args:
    results: `{name: result}`, results of the form of result.json.
    part: which split.
  Returns:
    a table with a row for each metric: the score and, in brackets, its 90 %
    interval; below it what the intervals are.
  """
  names = list(results)
  things = "clips" if any(r.get("config", r).get("frames")
                          for r in results.values()) else "images"
  lines = [[part, *names]]
  lines.append(["supervised updates",
                *(str(r["steps"]["supervised"]) for r in results.values())])
  lines.append(["  weights kept after",
                *(kept_weights.short(r["steps"]) for r in results.values())])
  lines.append([f"updates on unlabelled {things}",
                *(str(r["steps"]["consistency"]) for r in results.values())])
  lines.append(["seconds (without loading)",
                *(f"{r['seconds']:.0f}" for r in results.values())])
  for metric, label in rows(*(r[part] for r in results.values())).items():
    if any(metric in r[part] for r in results.values()):
      lines.append([label, *(cell(r[part], metric)
                             for r in results.values())])
  single = [r.get("clip_level", {}) if part == "test" else {}
            for r in results.values()]
  lines += [[f"{ROWS[metric]}, single clips", *(cell(s, metric)
                                                for s in single)]
            for metric in ("accuracy", "f1_macro")
            if any(metric in s for s in single)]
  own = [two_classes.rows(r[part]) for r in results.values()]
  for label in dict.fromkeys(label for one in own for label in one):
    lines.append([label, *(one.get(label, "-") for one in own)])
  notes = dict.fromkeys(note for r in results.values()
                        for note in interval_notes(r[part], things))
  notes |= dict.fromkeys(shared({
      name: [*absent_classes(r[part], part), *two_classes.notes(r[part])]
      for name, r in results.items()}))
  return "\n".join([align(lines), *(textwrap.fill(n, 79) for n in notes)])


def absent_classes(scores, part):
  """A list with the sentence on classes that no image of a part shows.

  Args:
    scores: of the part, see `scoring.judge`.
    part: its name.
  """
  absent = [name for name, row in scores.get("per_class", {}).items()
            if not row.get("support", 1)]
  if not absent:
    return []
  return [f"No {part} image shows {', '.join(absent)}: means over classes "
          "leave out what has no image."]


def cell(scores, metric):
  """A score with its interval."""
  if metric not in scores:
    return "-"
  text, known = f"{scores[metric]:.3f}", scores.get("ci90")
  if known:  # see `scoring.judge` for why one is absent
    equal_resamples = metric in ROWS and metric not in scoring.PER_PAIR
    text += " " + (ends(known[metric]) if metric in known else
                   CERTAIN if equal_resamples else FEW)
  return text


def blocks(lines, width=100):
  """Rows of cells as `align`, in blocks of columns that are not too wide.

  Args:
    lines: rows of cells; the first cell of each is its name and stands in
      every block.
    width: most characters of a line, unless one column alone needs more.
  """
  name, *columns = zip(*lines)
  least = max(map(len, name))
  parts, used = [[]], least
  for column in columns:
    wide = 2 + max(map(len, column))
    if parts[-1] and used + wide > width:
      parts.append([])
      used = least
    parts[-1].append(column)
    used += wide
  return "\n\n".join(align(list(zip(name, *part))) for part in parts)


def align(lines):
  """Rows of cells as columns of text, with a rule under the first row."""
  widths = [max(map(len, column)) for column in zip(*lines)]
  text = ["  ".join(value.ljust(width) for value, width in
                    zip(line, widths)).rstrip() for line in lines]
  text.insert(1, "-" * max(map(len, text)))
  return "\n".join(text)

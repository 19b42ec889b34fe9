"""A tournament of attribution methods: a table, a sheet, one sentence."""

import textwrap

import numpy as np

from atcon_tf.config.names import CENTRE
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation import tournament
from atcon_tf.reports import tables
from atcon_tf.reports.figures import contact_sheets
from atcon_tf.reports.figures import map_rows

# Of the sheet: pictures, and methods beside the one to trust.
PICTURES, METHODS = 6, 4
CRITERIA = {"faithfulness": "insertion minus deletion",
            "localisation": "share of the map inside the boxes"}
# Their columns in a table that fits into a terminal.
COLUMNS = {"faithfulness": "faithful ↑", "localisation": "in boxes ↑"}


def sentence(outcome):
  """Which method to use on these images, one sentence.

  Args:
    outcome: from `tournament.hold`.
  """
  trusted, final = outcome["method"], outcome["final"]
  on = f"On your {outcome['images']} validation images"
  if final is None:
    if trusted:
      return f"{on} nothing else could be compared: use {trusted}."
    return f"{on} no map depends on what was learned: trust none."
  told = "; ".join(_difference(name, row)
                   for name, row in final["differences"].items())
  judged = "90 % intervals over " + (
      f"the {final['units']} groups of " if "groups" in outcome else "") + (
          f"{final['images']} of them that had no part in choosing it")
  against = "a spot in the middle that sees no image" if (
      final["reference"] == CENTRE) else final["reference"]
  more = _control(final, trusted) + _not_compared(outcome)
  if trusted == final["method"]:
    row = outcome["methods"][trusted]
    unsure = ("" if row.get("verdict") != "unclear" else
              " That its maps depend on what was learned is unclear: they have "
              f"a similarity of {row['similarity']:.2f} to those of random "
              "weights.")
    return (f"{on} use {trusted}, which beats {against}: {told} ({judged})."
            f"{unsure}{more}")
  use = f"use {trusted}" if trusted else "trust none of the maps"
  if final["units"] < tournament.LEAST_UNITS:
    return (f"{on} {use}: they are too few to tell whether "
            f"{final['method']} beats {against}, {told} ({judged}).{more}")
  return (f"{on} no method beats {against}: {use}. The best other one is "
          f"{final['method']}: {told} ({judged}).{more}")


def _control(final, method):
  """What the control has in the final, beside a method; a sentence or ""."""
  if method is None or method not in final["means"]:
    return ""
  own, control = (final["means"][m] for m in (method, CENTRE))
  pairs = [f"{CRITERIA[name]} {control[name]:.3f} ({method} {own[name]:.3f})"
           for name in own if name in control]
  return (" There a spot in the middle that sees no image has "
          f"{' and '.join(pairs)}.") if pairs else ""


def _not_compared(outcome):
  """How many methods were too dear; a sentence or ""."""
  count = sum(row["out"].startswith(tournament.TOO_DEAR)
              for row in outcome["methods"].values())
  return (f" Not compared, because --passes is too small for them: {count} "
          f"method{'s' * (count > 1)}.") if count else ""


def _difference(name, row):
  low, high = row["interval"]
  return (f"{CRITERIA[name]} {row['difference']:+.3f} "
          f"[{low:+.3f}, {high:+.3f}]")


def table(outcome):
  """All methods, those that came furthest first, as text."""
  def rank(item):
    row = item[1]
    return (-row.get("images", 0), -row.get("won", -1),
            "similarity" not in row)

  final = outcome["final"] or {}
  place = {final.get("method"): 0, final.get("reference"): 1}
  rows = sorted(((m, row) for m, row in outcome["methods"].items()
                 if "forward_passes" in row),
                key=lambda item: (place.get(item[0], 2), *rank(item)))
  absent = [m for m in outcome["methods"] if m not in dict(rows)]
  criteria = [c for c in CRITERIA if any(c in row for _, row in rows)]
  lines = [["method", "passes", "random ↓", "images", "won ↑",
            *(COLUMNS[c] for c in criteria), ""]]
  for method, row in rows:
    number = lambda key, row=row: f"{row[key]:.3f}" if key in row else "-"
    lines.append([method, str(row.get("forward_passes", "-")),
                  number("similarity") + (
                      " ?" if row.get("verdict") == "unclear" else ""),
                  str(row.get("images", "-")), number("won"),
                  *map(number, criteria), row["out"].partition(":")[0]])
  words = (
      f"{outcome['passes']:.0f} passes. Random: similarity of the maps to "
      "those of the network with all weights in random order; above 0.6 a "
      "method is out, ? is unclear. Won: share of the meetings with other "
      "methods, image by image, in the last round that it was in. "
      + "".join(f"{COLUMNS[c][:-2].capitalize()}: {CRITERIA[c]}. "
                for c in criteria) + f"{CENTRE} sees no image.")
  others = f"This network cannot have {', '.join(absent)}." if absent else ""
  more = f"{others} The JSON file has each reason in full.".strip()
  return "\n\n".join([textwrap.fill(words, 79), tables.align(lines),
                      textwrap.fill(more, 79)])


def sheet(classifier, outcome, cases, multi_label, class_names):
  """Pictures of the final with the maps of the methods that came furthest.

  Args:
    classifier: a `models.Classifier`.
    outcome: from `tournament.hold`.
    cases: the `cases.Cases` of the tournament.
    multi_label: the probability is a sigmoid; otherwise a softmax.
    class_names: of the classes.
  Returns:
    a matplotlib figure; None if no method was compared.
  """
  judged = {m: row for m, row in outcome["methods"].items()
            if "images" in row and m != CENTRE}
  if not judged:
    return None
  final = outcome["final"] or {}
  first = [m for m in (final.get("method"), final.get("reference"))
           if m in judged]
  others = sorted(judged, key=lambda m: (-judged[m]["images"],
                                         -judged[m].get("won", 0)))
  shown = list(dict.fromkeys([*first, *others]))[:METHODS]
  part = cases.pick(tournament.halves(cases)[1][:PICTURES])
  maps = [_within_top(np.asarray(method_scores.maps_of(
      classifier, m, multi_label)(part.images, part.class_index)))
          for m in shown]
  captions = [[f"maps of '{class_names[c]}'\n{name}", *[""] * len(shown)]
              for name, c in zip(part.ids, part.class_index)]
  return map_rows.before_after(part.images, maps, shown, part.boxes, captions)


def _within_top(heat):
  """Maps `[B, H, W]` without the few highest pixels, which hide the others."""
  top = np.percentile(np.maximum(heat, 0), contact_sheets.TOP, (1, 2),
                      keepdims=True)
  return np.where(top > 0, np.minimum(heat, top), heat)

"""The operating point of two classes in words, for tables and figures."""

from atcon_tf.reports.kept_weights import ENOUGH

# The rows of a table, and the keys of `operating_point.measure`.
ROWS = {"  sensitivity there": "sensitivity",
        "  specificity there": "specificity",
        "  precision there": "precision"}


def rows(scores):
  """`{label: cell}` of the operating point; {} of other data.

  Args:
    scores: of one part, see `scoring.judge`.
  """
  found = {}
  if "operating_point" in scores:
    point = scores["operating_point"]
    found["operating threshold"] = f"{point['threshold']:.3f}"
    found |= {label: _share(point, name) for label, name in ROWS.items()
              if name in point}
  if "without_alarm" in scores:
    known = scores["without_alarm"]
    found["sensitivity at no false alarm"] = (
        f"{known['sensitivity']:.3f} " + _ends(known.get("interval")))
  return found


def notes(scores):
  """Sentences: that a decision is useless, and what no number can say."""
  found, point = [], scores.get("operating_point", {})
  if point.get("sensitivity", 1) + point.get("specificity", 1) <= 1:
    found.append("At the operating threshold the sensitivity and the "
                 "specificity sum to no more than 1: chance does as well.")
  if "without_alarm" not in scores:
    return found
  known = scores["without_alarm"]
  rates = ", ".join(f"{rate:g}" for rate in known["rates"])
  count = known["negatives"]
  return [*found,
          f"Sensitivity at {rates} alarms cannot be measured with {count} "
          f"negatives, of which one alarm is a rate of {1 / count:.2g}. With "
          "no false alarm among them the true rate may be up to "
          f"{known['rate_below']:.2g} (exact 95 % bound"
          + ", over their groups" * ("groups" in scores) + ")."]


def decision(result):
  """How the operating point was chosen, a sentence; "" of other data.

  Args:
    result: the dict of result.json.
  """
  chosen = result.get("operating_point")
  if not chosen:
    return ""
  at = (f"'{chosen['class']}' is said from probability "
        f"{chosen['threshold']:.3f} on")
  if not chosen["wanted"]:
    return f"{at} (it is the more probable class)."
  goal, _, value = chosen["wanted"].partition(":")
  if not chosen["reached"]:
    return (f"No threshold reaches a {goal} of {value} on the "
            f"{chosen['positives']} positive and {chosen['negatives']} "
            f"negative validation images; {at}.")
  return (f"{at}, for a {goal} of {value} on the {chosen['positives']} "
          f"positive and {chosen['negatives']} negative validation images.")


def missed(result):
  """`decision` if the wanted share was not reached, or by few images; or ""."""
  chosen = result.get("operating_point", {})
  if not chosen.get("wanted"):
    return ""
  if not chosen["reached"]:
    return decision(result)
  if min(chosen["positives"], chosen["negatives"]) < ENOUGH:
    return (f"{decision(result)} These are few: on other images it may be "
            "another one.")
  return ""


def _share(point, name):
  return f"{point[name]:.3f} " + _ends(point["interval"].get(name))


def _ends(interval):
  if interval is None:
    return "[-]"
  return f"[{interval[0]:.3f}, {interval[1]:.3f}]"

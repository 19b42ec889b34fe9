"""What is known of the maps of methods, as tables of text."""

from atcon_tf.reports import tables


def randomization(board):
  """The sanity checks as text: similarities and verdicts, a line a method.

  Args:
    board: from `randomization.judge`.
  """
  labels = any("labels" in row for row in board["methods"].values())
  *stages, last = board["stages"]
  lines = [["method", *stages, f"{last} *", "verdict of *"]]
  if labels:
    lines[0] += ["labels", "verdict of labels"]
  for method, row in board["methods"].items():
    lines.append([method, *(f"{s:.2f}" for s in row["parameters"].values()),
                  row["parameters_verdict"]])
    if labels:
      lines[-1] += [f"{row['labels']:.2f}", row["labels_verdict"]]
  alone = {method: row["independent"] for method, row in
           board["methods"].items() if "independent" in row}
  if alone:
    lines += [[""] * len(lines[0]), ["each alone"]] + [
        [method, *(f"{s:.2f}" for s in row.values())]
        for method, row in alone.items()]
    lines = [line + [""] * (len(lines[0]) - len(line)) for line in lines]
  either = " or the labels were" if labels else ""
  return (f"Similarity of the maps once the logits, and then so much of the "
          f"layers below, are random{either}. The column with * decides, where "
          f"all weights are random: a method passes below "
          f"{board['passes_below']} and fails above {board['fails_above']}."
          f"\n\n{tables.align(lines)}")


def agreement(board):
  """How far the maps of two runs agree, as text, a line a method.

  Args:
    board: from `map_agreement.judge`.
  """
  columns = {"mege": "MeGe ↑", "reco": "ReCo ↑", "distance": "distance ↓"}
  lines = [["method", *columns.values(), "both right", "one right", "images"]]
  for method, row in board["methods"].items():
    lines.append([method, *(tables.cell(row, c) for c in columns),
                  str(row["both_right"]), str(row["one_right"]),
                  str(row["pairs"])])
  return ("MeGe (0.5 to 1): the maps of images that both runs classify "
          "correctly are alike. ReCo (0 to 1): they are more alike than those "
          "of images that one of them does.\n\n" + tables.align(lines))

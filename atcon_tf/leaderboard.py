"""Which attribution method tells most about a classifier.

    board = leaderboard.judge(classifier, records, images, methods, metrics)
    print(leaderboard.table(board))

One pair of an image and a class for each image: the class of its largest
box, its label, or what the classifier says. Scores are means over the pairs with 90 % bootstrap intervals. Where a
map has to be cut (box IoU, mask IoU), the share of its maximum is chosen on
every other pair for the rest, and the other way round: no pair chooses its
own.
"""

import dataclasses
import io
import json
import time

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from atcon_tf import attribution
from atcon_tf import files
from atcon_tf.attribution import forward
from atcon_tf.attribution import perturbation
from atcon_tf.config import UserError
from atcon_tf.metrics import LOWER_IS_BETTER
from atcon_tf.metrics import METRICS
from atcon_tf.metrics import Evidence
from atcon_tf.metrics import localization
from atcon_tf.metrics import statistics

# A map that sees no image: brightest in the middle.
CENTRE = "(centre)"
# Methods that cost hundreds of passes an image see fewer images.
SLOW = frozenset(["score_cam", "rise", "occlusion",
                  "meaningful_perturbation"])
CUT = {"box_iou": "box_threshold", "mask_iou": "mask_threshold"}
DEFAULT_METRICS = (
    "average_drop", "average_drop_50", "average_drop_15",
    "increase_in_confidence", "increase_in_confidence_50",
    "increase_in_confidence_15", "insertion", "deletion",
    "sparseness", "pointing_game", "energy_pointing_game", "box_iou",
    "mask_iou")
BATCH = 16
PANELS = 7  # of a plot, side by side
# Which class of an image is explained.
TARGETS = {
    "box": "the class of its largest object",
    "label": "its label (of several the one the classifier prefers)",
    "prediction": "the class that the classifier gives it",
}


@dataclasses.dataclass(eq=False)
class Pairs:
  """The pairs that are judged; fields as in `metrics.Evidence`."""

  ids: list
  images: np.ndarray
  class_index: np.ndarray
  boxes: list
  masks: np.ndarray

  def part(self, chosen):
    return Pairs(self.ids[chosen], self.images[chosen],
                 self.class_index[chosen], self.boxes[chosen],
                 self.masks[chosen])


def pairs_of(classifier, records, images, target="box", limit=0):
  """One pair for each of the first `limit` records.

  Args:
    classifier: a `models.Classifier`.
    records: list of `Record`.
    images: `pipeline.Images` that holds them.
    target: a key of TARGETS; "box" takes the records with a box alone.
    limit: 0: all.
  Raises:
    UserError: no record has a box.
  """
  if target == "box":
    records = [r for r in records if len(r.boxes)]
    if not records:
      raise UserError("--target=box: these data have no boxes; one of label, "
                      "prediction")
  records = records[:limit or None]
  pixels = images.pixels[images.rows([r.id for r in records])]
  pixels = pixels.astype(np.float32) / 255
  if target == "box":
    chosen = [_largest(r) for r in records]
  else:
    logits = np.concatenate([
        classifier.model(pixels[first:first + BATCH], training=False)
        for first in range(0, len(pixels), BATCH)])
    if target == "label":
      label = np.stack([r.label for r in records])
      logits = np.where(label > 0, logits, -np.inf)
    chosen = logits.argmax(-1).tolist()
  boxes, masks = [], []
  for record, c in zip(records, chosen):
    boxes.append(record.boxes[record.box_label == c])
    masks.append(localization.class_mask(record.mask and record.mask(), c,
                                         pixels.shape[1:3]))
  return Pairs([r.id for r in records], pixels, np.array(chosen), boxes,
               np.stack(masks))


def _largest(record):
  """The class of a record's largest box."""
  sides = record.boxes[:, 2:] - record.boxes[:, :2]
  return int(record.box_label[np.argmax(sides.prod(1))])


def judge(classifier, pairs, methods, metrics=DEFAULT_METRICS,
          multi_label=True, slow_limit=50, folder=None, samples=500):
  """Scores of methods on pairs.

  Args:
    classifier: a `models.Classifier`.
    pairs: `Pairs`.
    methods: keys of `attribution.METHODS`, or CENTRE.
    metrics: keys of `metrics.METRICS`.
    multi_label: the probability is a sigmoid.
    slow_limit: pairs that the methods in SLOW see.
    folder: scores of finished methods are kept there, and found again.
    samples: bootstrap resamples.
  Returns:
    `{"pairs", "methods": {method: {metric: mean, "ci90": {metric: [low,
    high]}, "pairs", "images_a_second", "forward_passes"}}, "skipped":
    {method: reason}}`.
  """
  _check("--metrics", metrics, METRICS)
  _check("--methods", methods, [*attribution.METHODS, CENTRE])
  board = {"pairs": len(pairs.ids), "methods": {}, "skipped": {}}
  bar = keras.utils.Progbar(len(methods), unit_name="method")
  for method in methods:
    count = min(len(pairs.ids), slow_limit if method in SLOW else 10**9)
    kept = folder and folder / f"{method}.json"
    wanted = {"ids": [str(i) for i in pairs.ids[:count]],
              "classes": pairs.class_index[:count].tolist(),
              "metrics": list(metrics)}
    row = _known(kept, wanted)
    if row is None:
      try:
        row = judgement(classifier, method, metrics, multi_label)(
            pairs.part(slice(0, count)))
      except UserError as error:
        board["skipped"][method] = str(error)
        bar.add(1)
        continue
      if kept:
        files.write_text(kept, json.dumps({**wanted, "row": row}))
    board["methods"][method] = _summary(row, samples)
    bar.add(1)
  return board


def _check(flag, names, allowed):
  for name in names:
    if name not in allowed:
      raise UserError(f"{flag}={name}: must be one of {', '.join(allowed)}")


def _known(path, wanted):
  """A row that was finished before, if it is of the same pairs."""
  if not path or not path.exists():
    return None
  stored = json.loads(path.read_text())
  row = stored.pop("row")
  return row if stored == wanted else None


def judgement(classifier, method, metrics, multi_label):
  """How one method is judged, again and again: what it needs is traced once.

  Args:
    classifier, method, metrics, multi_label: see `judge`.
  Returns:
    `fn(pairs) -> {"scores": {metric: [P]}, "images_a_second",
    "forward_passes"}`.
  """
  size = classifier.image_size
  output = "sigmoid" if multi_label else "probability"
  predict = tf.function(
      lambda x, c: forward.score(classifier, x, c, output),
      input_signature=[tf.TensorSpec([None, *size, 3]),
                       tf.TensorSpec([None], tf.int64)])
  black = classifier.normalize(np.zeros([1, 1, 1, 3], np.float32)).numpy()
  explain = _explainer(classifier, method, size)

  def evidence_of(part, heat):
    return Evidence(
        heat, classifier.normalize(part.images).numpy(),
        lambda x, i: predict(x, part.class_index[i]).numpy(),
        lambda x: explain(x, part.class_index, True),
        part.boxes, part.masks, black=black[0, 0, 0])

  def judged(pairs):
    seconds = []
    rows = {metric: [] for metric in metrics}
    for first in range(0, len(pairs.ids), BATCH):
      part = pairs.part(slice(first, first + BATCH))
      started = time.perf_counter()
      heat = explain(part.images, part.class_index)
      seconds.append((time.perf_counter() - started, len(heat)))
      evidence = evidence_of(part, heat)
      for metric in metrics:
        rows[metric].append(_score(metric, evidence))
    scores = {metric: np.concatenate(parts) for metric, parts in rows.items()}
    for metric in CUT.keys() & scores.keys():
      scores[metric] = cross_fit(scores[metric])
    # The first batch traces; a last, smaller one is no fair measure either.
    timed = seconds[1:-1] or seconds[-1:]
    return {"scores": {m: s.tolist() for m, s in scores.items()},
            "images_a_second": sum(n for _, n in timed) / sum(
                s for s, _ in timed) if method != CENTRE else None,
            "forward_passes": passes(classifier, method)}

  return judged


def _score(metric, evidence):
  """Scores `[P]`, or `[P, T]` at every threshold where the map is cut."""
  if metric not in CUT:
    return METRICS[metric](evidence)
  return np.stack([METRICS[metric](dataclasses.replace(
      evidence, **{CUT[metric]: t})) for t in localization.THRESHOLDS], 1)


def cross_fit(table):
  """Scores `[P]` of `table [P, T]` at thresholds chosen on other pairs."""
  result = np.full(len(table), np.nan)
  for own in (0, 1):
    other = np.nan_to_num(table[1 - own::2], nan=0.0)
    best = np.argmax(other.mean(0)) if len(other) else len(table[0]) // 2
    result[own::2] = table[own::2, best]
  return result


def _explainer(classifier, method, size):
  """`(images, class_index, normalized=False) -> maps at the image's size`."""
  if method == CENTRE:
    y, x = (np.linspace(-1, 1, n) for n in size)
    middle = np.exp(-2 * (y[:, None]**2 + x**2)).astype(np.float32)
    return lambda images, class_index, normalized=False: np.repeat(
        middle[None], len(images), 0)
  function = attribution.build(classifier, method)
  # A noisy image comes normalised: the same methods over no normalisation.
  plain = dataclasses.replace(classifier, normalize=lambda x: x)
  signature = [tf.TensorSpec([None, *size, 3]),
               tf.TensorSpec([None], tf.int64)]
  usual = tf.function(lambda x, c: attribution.enlarge(
      classifier, function(x, c)), input_signature=signature)
  again = tf.function(lambda x, c: attribution.enlarge(
      classifier, attribution.build(plain, method)(x, c)),
                      input_signature=signature)
  return lambda images, class_index, normalized=False: (
      again if normalized else usual)(images, class_index).numpy()


def passes(classifier, method):
  """Forward passes of the whole network an image, by default options."""
  channels = classifier.maps.outputs[-2].shape[-1]
  windows = perturbation.windows(classifier.image_size)
  more = {"score_cam": channels, "integrated_gradients": 33,
          "smooth_grad": 25, "var_grad": 25, "rise": 500,
          "occlusion": windows, "meaningful_perturbation": 150}
  return 0 if method == CENTRE else 1 + more.get(method, 0)


def _summary(row, samples):
  """Means and intervals of one method's scores."""
  scores = {m: np.array(s) for m, s in row["scores"].items()}
  count = len(next(iter(scores.values())))

  def means(indices):
    return {m: float(np.nanmean(s[indices])) for m, s in scores.items()
            if np.isfinite(s[indices]).any()}

  result = {**means(np.arange(count)), "pairs": count,
            "images_a_second": row["images_a_second"],
            "forward_passes": row["forward_passes"]}
  if samples:
    result["ci90"] = statistics.bootstrap(means, count, samples)
  return result


def _columns(board):
  first = next(iter(board["methods"].values()), {})
  return [m for m in METRICS if m in first]


def _name(metric):
  return metric.replace("_", " ") + (
      " ↓" if metric in LOWER_IS_BETTER else "")


def table(board, markdown=False):
  """A board as text, or as a Markdown table with intervals."""
  columns = _columns(board)
  lines = [["method", *map(_name, columns), "images/s", "passes", "pairs"]]
  for method, row in board["methods"].items():
    cells = []
    for metric in columns:
      text = f"{row[metric]:.3g}" if metric in row else "-"
      if markdown and metric in row.get("ci90", {}):
        low, high = row["ci90"][metric]
        text += f" ({low:.3g}–{high:.3g})"
      cells.append(text)
    speed = row["images_a_second"]
    lines.append([method, *cells, f"{speed:.3g}" if speed else "-",
                  str(row["forward_passes"]), str(row["pairs"])])
  if markdown:
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
  widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
  return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths))
                   .rstrip() for line in lines)


def plot(board):
  """A panel for each metric, a bar with its interval for each method."""
  columns, methods = _columns(board), list(board["methods"])
  wide = min(PANELS, len(columns))
  tall = -(-len(columns) // wide)
  figure = Figure(figsize=(2.1 * wide + 1.6, (.26 * len(methods) + 1) * tall),
                  layout="constrained")
  axes = figure.subplots(tall, wide, squeeze=False, sharey=True)
  for one in axes.flat[len(columns):]:
    one.axis("off")
  for one, metric in zip(axes.flat, columns):
    for y, method in enumerate(methods):
      row = board["methods"][method]
      if metric not in row:
        continue
      color = "#999999" if method == CENTRE else "#2a6fbb"
      one.barh(y, row[metric], color=color, height=.7)
      if metric in row.get("ci90", {}):
        one.plot(row["ci90"][metric], [y, y], color="black", linewidth=1.2)
    one.set_title(_name(metric), fontsize=8)
    one.tick_params(labelsize=7)
  for row in axes:
    row[0].set_yticks(range(len(methods)), methods)
  axes[0, 0].invert_yaxis()
  return figure


def page(board, picture):
  """The Markdown page of a board.

  Args:
    picture: path of the plot as the page should name it.
  """
  out = io.StringIO()
  out.write(f"""# Attribution methods compared

Written by `{board['command']}`; do not edit by hand. The numbers are in
`{board['json']}`.

{board['about']} Means over {board['pairs']} pairs of an image and
{TARGETS[board['target']]} (fewer for the methods that need hundreds of passes:
the last column), with 90 % bootstrap intervals over the images. ↓: lower is
better. `{CENTRE}` is a bright spot in the middle that sees no image: what a map
has to beat. The cut of box IoU and mask IoU is chosen on every other pair.
Average drop and increase in confidence are percentages; 50 and 15: of the map
only the highest 50 or 15 % of the pixels are kept.

![Scores of the methods]({picture})

{table(board, markdown=True)}
""")
  for method, reason in board["skipped"].items():
    out.write(f"\nNot measured: {method} ({reason}).\n")
  return out.getvalue()

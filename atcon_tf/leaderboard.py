"""Which attribution method tells most about a classifier.

    board = leaderboard.judge(classifier, pairs, methods, metrics)
    print(leaderboard_page.table(board))

Scores are means over the pairs with 90 % bootstrap intervals. Where a map
has to be cut (box IoU, mask IoU), the share of its maximum is chosen on
every other pair for the rest, and the other way round: no pair chooses its
own.
"""

import dataclasses
import functools
import json
import pathlib
import time
import zlib

import keras
import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf import files
from atcon_tf.attribution import forward
from atcon_tf.attribution import perturbation
from atcon_tf.config import UserError
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


def judge(classifier, pairs, methods, metrics=DEFAULT_METRICS,
          multi_label=True, slow_limit=50, folder=None, samples=500):
  """Scores of methods on pairs.

  Args:
    classifier: a `models.Classifier`.
    pairs: `image_pairs.Pairs`.
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
  Raises:
    UserError: an unknown name; nothing can be measured of these images, or
      for this network.
  """
  _check("--metrics", metrics, METRICS)
  check_methods(methods)
  metrics, methods = (tuple(dict.fromkeys(n)) for n in (metrics, methods))
  board = {"pairs": len(pairs.ids), "methods": {}, "skipped": {}}
  bar = keras.utils.Progbar(len(methods), unit_name="method")
  weights, code = _checksum(classifier), _checksum_of_code()
  for method in methods:
    part = pairs.part(slice(0, limit(method, slow_limit)))
    kept = folder and folder / f"{method}.json"
    wanted = {"ids": [str(i) for i in part.ids],
              "classes": part.class_index.tolist(), "metrics": list(metrics),
              "data": _checksum_of_data(part), "weights": weights,
              "code": code}
    row = _known(kept, wanted)
    if row is None:
      try:
        row = judgement(classifier, method, metrics, multi_label)(part)
      except UserError as error:
        board["skipped"][method] = str(error)
        bar.add(1)
        continue
      if kept:
        files.write_text(kept, json.dumps({**wanted, "row": row}))
    board["methods"][method] = _summary(row, samples)
    bar.add(1)
  if not board["methods"]:
    raise UserError("--methods: none of them can be measured: " + "; ".join(
        f"{m}: {why}" for m, why in board["skipped"].items()))
  if not any(m in row for row in board["methods"].values() for m in metrics):
    raise UserError(f"--metrics={','.join(metrics)}: none of them can be "
                    "measured on these images; have they boxes or masks?")
  return board


def check_methods(methods):
  """Refuses a method that is none by name."""
  _check("--methods", methods, [*attribution.METHODS, CENTRE])


def limit(method, slow_limit):
  """How many pairs a method sees; None: all."""
  return slow_limit if method in SLOW else None


def _check(flag, names, allowed):
  if not names:
    raise UserError(f"{flag}=: must be any of {', '.join(allowed)}")
  for name in names:
    if name not in allowed:
      raise UserError(f"{flag}={name}: must be one of {', '.join(allowed)}")


def _checksum(classifier):
  """A number that tells one classifier, with its head and where its maps are
  taken, from another."""
  result = zlib.crc32(repr(classifier.cam_layers).encode())
  for model in (classifier.model, classifier.attention):
    for value in model.get_weights() if model else ():
      result = zlib.crc32(value.tobytes(), result)
  return result


def _checksum_of_code():
  """A number that tells this package from any other version of it."""
  result = 0
  for path in sorted(pathlib.Path(__file__).parent.rglob("*.py")):
    result = zlib.crc32(path.read_bytes(), result)
  return result


def _checksum_of_data(pairs):
  """A number that tells pairs from others with the same ids."""
  result = 0
  for part in (pairs.images, pairs.masks, *pairs.boxes):
    result = zlib.crc32(np.ascontiguousarray(part).tobytes(), result)
  return result


def _known(path, wanted):
  """A row that was finished before, of the same pairs, weights and code."""
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
  explain = maps_of(classifier, method, multi_label)

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


def maps_of(classifier, method, multi_label):
  """`(images, class_index, normalized=False) -> maps at the image's size`."""
  size = classifier.image_size
  if method == CENTRE:
    y, x = (np.linspace(-1, 1, n) for n in size)
    middle = np.exp(-2 * (y[:, None]**2 + x**2)).astype(np.float32)
    return lambda images, class_index, normalized=False: np.repeat(
        middle[None], len(images), 0)
  options = attribution.output_of(method, multi_label)
  function = attribution.build(classifier, method, **options)
  # A noisy image comes normalised: the same methods over no normalisation.
  plain = dataclasses.replace(classifier, normalize=lambda x: x)
  signature = [tf.TensorSpec([None, *size, 3]),
               tf.TensorSpec([None], tf.int64)]
  usual = tf.function(lambda x, c: attribution.enlarge(
      classifier, function(x, c)), input_signature=signature)

  @functools.cache
  def again():  # built before it is traced: what a method checks are numbers
    of_noisy = attribution.build(plain, method, **options)
    return tf.function(lambda x, c: attribution.enlarge(
        classifier, of_noisy(x, c)), input_signature=signature)

  return lambda images, class_index, normalized=False: (
      again() if normalized else usual)(images, class_index).numpy()


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

"""Which attribution method tells most about a classifier.

    board = leaderboard.judge(classifier, pairs, methods, metrics)
    print(leaderboard_page.leaderboard_table(board))

Scores are means over the pairs with 90 % bootstrap intervals. Where a map
has to be cut (box IoU, mask IoU), the share of its maximum is chosen on
every other pair for the rest, and the other way round: no pair chooses its
own.
"""

import json
import pathlib
import zlib

import keras
import numpy as np

from atcon_tf.config import files
from atcon_tf.config import UserError
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation.metrics import METRICS
from atcon_tf.evaluation.metrics import statistics

DEFAULT_METRICS = (
    "average_drop", "average_drop_50", "average_drop_15",
    "increase_in_confidence", "increase_in_confidence_50",
    "increase_in_confidence_15", "insertion", "deletion",
    "sparseness", "pointing_game", "energy_pointing_game", "box_iou",
    "mask_iou")


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
  method_scores.check_names("metrics", metrics, METRICS)
  method_scores.check_methods(methods)
  metrics, methods = (tuple(dict.fromkeys(n)) for n in (metrics, methods))
  board = {"pairs": len(pairs.ids), "methods": {}, "skipped": {}}
  bar = keras.utils.Progbar(len(methods), unit_name="method")
  weights, code = _checksum(classifier), _checksum_of_code()
  for method in methods:
    part = pairs.part(slice(0, method_scores.limit(method, slow_limit)))
    kept = folder and folder / f"{method}.json"
    wanted = {"ids": [str(i) for i in part.ids],
              "classes": part.class_index.tolist(), "metrics": list(metrics),
              "data": _checksum_of_data(part), "weights": weights,
              "code": code}
    row = _known(kept, wanted)
    if row is None:
      try:
        row = method_scores.judgement(
          classifier, method, metrics, multi_label)(part)
      except UserError as error:
        board["skipped"][method] = str(error)
        bar.add(1)
        continue
      if kept:
        files.write_text(kept, json.dumps({**wanted, "row": row}))
    board["methods"][method] = _summary(row, samples)
    bar.add(1)
  if not board["methods"]:
    raise UserError("methods", methods, "none of them can be measured: " + "; ".join(
        f"{m}: {why}" for m, why in board["skipped"].items()))
  if not any(m in row for row in board["methods"].values() for m in metrics):
    raise UserError("metrics", metrics,
                    "none of them can be measured on these images; have they "
                    "boxes or masks?")
  return board


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

"""Scores of many attribution methods for one classifier.

    board = leaderboard.judge(classifier, cases, methods, metrics)
    print(leaderboard_page.leaderboard_table(board))

Scores are means over the cases with 90 % bootstrap intervals, over the images
or, where they have some, over their groups. Box IoU and
mask IoU need a threshold, a share of a map's maximum. The cases with an even
number choose that of the cases with an odd number, and the other way round,
so no case has a part in the choice of its own threshold.
"""

import json
import pathlib
import zlib

import numpy as np

from atcon_tf.config import files
from atcon_tf.config import names
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation.metrics import NEEDS
from atcon_tf.evaluation.metrics import statistics

# About how many forward passes of an image a score takes: curves of 20 steps
# beside scores that take none. It is for the time left alone.
PASSES_OF_A_METRIC = 5

PACKAGE = pathlib.Path(__file__).parents[1]


def judge(classifier, pairs, methods, metrics=names.DEFAULT_METRICS,
          multi_label=True, slow_limit=50, folder=None, samples=500):
  """Scores of methods on pairs of an image and a class.

  Args:
    classifier: a `models.Classifier`.
    pairs: `cases.Cases`.
    methods: of `names.METHODS`, or `names.CENTRE`.
    metrics: keys of `metrics.METRICS`.
    multi_label: the probability is a sigmoid; otherwise a softmax.
    slow_limit: number of pairs on which a slow method is judged.
    folder: the scores of each finished method are stored there, and a later
      call reads them if pairs, weights and code are the same; None: nothing
      is stored.
    samples: bootstrap resamples; 0: no intervals.
  Returns:
    `{"pairs", "groups" (their number, if the images have some), "methods":
    {method: {metric: mean, "ci90": {metric: [low,
    high]}, "pairs", "images_a_second", "forward_passes"}}, "skipped":
    {method: reason}}`.
  Raises:
    UserError: an unknown name, or no method or no metric can be measured.
  """
  names.check("metrics", metrics, names.METRICS)
  method_scores.check_methods(methods)
  metrics, methods = (tuple(dict.fromkeys(n)) for n in (metrics, methods))
  board = {"pairs": len(pairs.ids), "methods": {}, "skipped": {}}
  if pairs.groups:
    board["groups"] = len(set(pairs.groups))
  weights, code = _checksum(classifier), _checksum_of_code()
  parts = {m: pairs.part(slice(0, method_scores.limit(m, slow_limit)))
           for m in methods}
  wanted = {m: {"ids": [str(i) for i in part.ids],
                "classes": part.class_index.tolist(),
                "metrics": list(metrics), "data": _checksum_of_data(part),
                "weights": weights, "code": code}
            for m, part in parts.items()}
  kept = {m: folder and folder / f"{m}.json" for m in methods}
  rows = {m: _known(kept[m], wanted[m]) for m in methods}
  passes = {m: method_scores.passes(classifier, m)
            + PASSES_OF_A_METRIC * len(metrics) for m in methods}
  predict = method_scores.predictor(classifier, multi_label)
  bar = Progress(sum(passes[m] * len(parts[m].ids) for m in methods
                     if rows[m] is None), "passes")
  for method, part in parts.items():
    if rows[method] is None:
      judged = 0

      def tell(images):
        nonlocal judged
        judged += images
        bar.add(passes[method] * images)

      try:
        rows[method] = method_scores.judgement(
            classifier, method, multi_label, predict)(part, metrics, tell)
      except UserError as error:
        board["skipped"][method] = str(error)
        tell(len(part.ids) - judged)
        continue
      if kept[method]:
        files.write_text(kept[method], json.dumps(
            {**wanted[method], "row": rows[method]}))
    board["methods"][method] = _summary(rows[method], samples, part.groups)
  if not board["methods"]:
    skipped = "; ".join(f"{m}: {why}" for m, why in board["skipped"].items())
    raise UserError("methods", methods,
                    f"none of them can be measured: {skipped}")
  if not any(m in row for row in board["methods"].values() for m in metrics):
    raise UserError("metrics", metrics,
                    "none of them can be measured on these images; have they "
                    "boxes or masks?")
  return board


def check_measurable(metrics, records):
  """Refuses metrics none of which the records allow.

  Args:
    metrics: of `names.METRICS`.
    records: list of `Record`; boxes and masks are looked for.
  Raises:
    UserError: each of the metrics needs boxes or masks, and no record has
      them.
  """
  there = {"boxes": any(len(r.boxes) for r in records),
           "mask": any(r.mask for r in records)}
  if not any(there.get(NEEDS.get(m), True) for m in metrics):
    raise UserError("metrics", metrics,
                    "none of them can be measured on these images, which have "
                    "no boxes and no masks that they need; without them: "
                    + ", ".join(m for m in names.METRICS if m not in NEEDS))


def _checksum(classifier):
  """A checksum of a classifier: its weights, its head and its cam_layers."""
  result = zlib.crc32(repr(classifier.cam_layers).encode())
  for model in (classifier.model, classifier.attention):
    for value in model.get_weights() if model else ():
      result = zlib.crc32(value.tobytes(), result)
  return result


def _checksum_of_code():
  """A checksum of all code of this package."""
  result = 0
  for path in sorted(PACKAGE.rglob("*.py")):
    result = zlib.crc32(path.read_bytes(), result)
  return result


def _checksum_of_data(pairs):
  """A checksum of the images, masks and boxes of pairs."""
  result = 0
  for part in (pairs.images, pairs.masks, *pairs.boxes):
    result = zlib.crc32(np.ascontiguousarray(part).tobytes(), result)
  return result


def _known(path, wanted):
  """The stored row of a method, or None.

  Args:
    path: of its file; None: there is none.
    wanted: the pairs, weights and code that it must be of.
  """
  if not path or not path.exists():
    return None
  stored = json.loads(path.read_text())
  row = stored.pop("row")
  return row if stored == wanted else None


def _summary(row, samples, groups):
  """Means and intervals of one method's scores; see `Cases` for `groups`."""
  scores = {m: np.array(s) for m, s in row["scores"].items()}
  count = len(next(iter(scores.values())))

  def means(indices):
    return {m: float(np.nanmean(s[indices])) for m, s in scores.items()
            if np.isfinite(s[indices]).any()}

  result = {**means(np.arange(count)), "pairs": count,
            "images_a_second": row["images_a_second"],
            "forward_passes": row["forward_passes"]}
  if samples:
    result["ci90"] = statistics.bootstrap(means, count, samples, units=groups)
  return result

"""Do the maps of two runs agree, method by method?

    board = map_agreement.judge(run, other, ["grad_cam"])

The runs have the same classes and differ in their training images or seed.
Their maps of test images that trained neither of them are compared by MeGe
and ReCo (`metrics.algorithmic_stability`).
"""

import numpy as np

from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.evaluation import cases
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation.metrics import algorithmic_stability
from atcon_tf.evaluation.metrics import statistics
from atcon_tf.models import probabilities
from atcon_tf import runs
from atcon_tf.runs import picture_labels


def judge(run, other, methods, target="label", limit=200, slow_limit=50,
          samples=500):
  """MeGe and ReCo of methods on the test images of a run.

  Args:
    run, other: finished `runs.Run`s.
    methods: keys of `attribution.METHODS`, or `method_scores.CENTRE`.
    target: "box" or "label": the true class of an image that is explained.
    limit: number of images.
    slow_limit: number of images on which a slow method is judged.
    samples: bootstrap resamples.
  Returns:
    `{"images", "methods": {method: {"pairs", "both_right", "one_right",
    "mege", "reco", "distance" (mean), "ci90": {...}}}, "skipped": {method:
    reason}}`; "mege" and "reco" are absent where they are undefined.
  Raises:
    UserError: the runs have other classes or image sizes, a target that is no
      true class, or no image that trained neither.
  """
  method_scores.check_methods(methods)
  if target == "prediction":
    raise UserError("target", target, "the two runs may predict different "
                    "classes; one of box, label")
  for what, same in [("classes", run.class_names == other.class_names),
                     ("kind of labels", run.multi_label == other.multi_label)]:
    if not same:
      raise UserError("compare", other.path, f"has other {what} than "
                      f"{run.path}")
  for what in ("image_size", "frames"):
    if getattr(run.classifier, what) != getattr(other.classifier, what):
      raise UserError("compare", other.path,
                      f"has another {what} than {run.path}")
  records, images = runs.load_part(run, "test")
  trained = {i for part in ("train_labeled", "train_unlabeled")
             for i in other.split[part]}
  unseen = [r for r in records if r.id not in trained]
  if not unseen:
    raise UserError("compare", other.path, "was trained on all test images "
                    f"of {run.path}")
  pairs = cases.cases_of(run.classifier, unseen, images, target, limit)
  right = [_right(r, pairs) for r in (run, other)]
  board = {"images": len(pairs.ids), "methods": {}, "skipped": {}}
  bar = Progress(len(methods), "methods")
  for method in dict.fromkeys(methods):
    part = pairs.part(slice(0, method_scores.limit(method, slow_limit)))
    try:
      distance = algorithmic_stability.distances(
          *(_maps(r, method, part) for r in (run, other)))
      board["methods"][method] = _row(
          distance, *(r[:len(distance)] for r in right), samples, part.groups)
    except UserError as error:
      board["skipped"][method] = str(error)
    bar.add()
  return board


def _right(run, pairs):
  """Whether a run decides for the class of each pair, bool `[P]`."""
  logits = np.concatenate([
      run.classifier.model(pairs.images[i:i + cases.BATCH], training=False)
      for i in range(0, len(pairs.ids), cases.BATCH)])
  decided = probabilities.labels(
      probabilities.probability(logits, run.multi_label), run.multi_label,
      picture_labels.threshold_of(run.result["thresholds"]))
  return np.asarray(decided)[np.arange(len(logits)), pairs.class_index]


def _maps(run, method, pairs):
  """A method's maps of all pairs, `[P, H, W]`."""
  maps_of = method_scores.maps_of(run.classifier, method, run.multi_label)
  return np.concatenate([
      maps_of(pairs.images[i:i + cases.BATCH],
              pairs.class_index[i:i + cases.BATCH])
      for i in range(0, len(pairs.ids), cases.BATCH)])


def _row(distance, right_first, right_second, samples, groups):
  """The numbers of one method."""
  def scores(i):
    own = distance[i], right_first[i], right_second[i]
    found = {"distance": distance[i].mean(),
             "mege": algorithmic_stability.mean_generalizability(*own),
             "reco": algorithmic_stability.relative_consistency(*own)}
    return {name: float(v) for name, v in found.items() if np.isfinite(v)}

  count = len(distance)
  return {**scores(np.arange(count)), "pairs": count,
          "both_right": int((right_first & right_second).sum()),
          "one_right": int((right_first ^ right_second).sum()),
          "ci90": statistics.bootstrap(scores, count, samples, units=groups)}

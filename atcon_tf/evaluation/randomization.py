"""Does a method's map depend on what its classifier learned?

    board = randomization.judge(classifier, cases, methods, other)

The two checks of Adebayo et al. (arXiv 1810.03292) for every method. One puts
the weights in random order, layer by layer from the logits down to the image.
The other takes a second classifier, which was trained on labels in random
order. `metrics.sanity` compares the maps and gives the verdicts.
"""

import numpy as np

from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation.metrics import sanity
from atcon_tf.evaluation import random_weights
from atcon_tf import runs

def load_other(run, workdir):
  """The classifier that was trained on labels in random order.

  Args:
    run: the `runs.Run` of the classifier that is checked.
    workdir: folder of the run on random labels; "": there is none, and the
      result is None.
  Raises:
    UserError: that run had true labels, or has another network or classes.
  """
  if not workdir:
    return None
  given = "random_model", workdir
  other = runs.load(workdir, "random_model")
  if not other.config.random_labels:
    raise UserError(*given, "was trained on true labels; train it with "
                    "--random_labels")
  for what, same in [
      ("model", other.config.model == run.config.model),
      ("image size", (other.classifier.image_size
                      == run.classifier.image_size)),
      ("classes", other.class_names == run.class_names)]:
    if not same:
      raise UserError(*given, f"has another {what} than {run.path}")
  return other.classifier


def judge(classifier, pairs, methods, other=None, slow_limit=50, seed=0,
          multi_label=True, independent=False):
  """The sanity checks of methods.

  Args:
    classifier: a `models.Classifier`; its weights are the same afterwards.
    pairs: `cases.Cases`.
    methods: keys of `attribution.METHODS`, or `method_scores.CENTRE`.
    other: the same network, trained on labels in random order; None: the
      second check is left out.
    slow_limit: number of pairs on which a slow method is judged.
    seed: of the random order.
    multi_label: the probability is a sigmoid; otherwise a softmax.
    independent: also make each group of layers random alone, with all others
      as they were trained.
  Returns:
    `{"passes_below", "fails_above", "stages", "methods": {method: {"pairs",
    "parameters": {stage: similarity}, "parameters_ssim": {stage: ssim},
    "parameters_verdict", "independent", "independent_ssim", "labels",
    "labels_verdict"}}, "skipped": {method: reason}}`; "labels" only with
    `other`, "independent" (without a verdict: the papers have no threshold)
    if asked for. A similarity and an SSIM are means over the pairs, in
    [-1, 1].
  """
  method_scores.check_methods(methods)
  groups = random_weights.stages(classifier)
  board = {"passes_below": sanity.PASSES, "fails_above": sanity.FAILS,
           "stages": list(groups), "methods": {}, "skipped": {}}
  parts = {m: pairs.part(slice(0, method_scores.limit(m, slow_limit)))
           for m in methods}
  passes = {m: len(parts[m].ids) * (
      1 + len(groups) * (1 + independent)) * (
      1 + method_scores.passes(classifier, m)) for m in methods}
  bar = Progress(sum(passes.values()), "passes")
  for method, part in parts.items():
    try:
      board["methods"][method] = _judge_one(
          classifier, part, method, groups, other, seed, multi_label,
          independent)
    except UserError as error:
      board["skipped"][method] = str(error)
    bar.add(passes[method])
  return board


def _judge_one(classifier, pairs, method, groups, other, seed, multi_label,
               independent):
  numbers = {name: i for i, name in enumerate(groups)}
  explain = _explain(classifier, method, pairs, multi_label)
  trained = explain()
  row = {"pairs": len(pairs.ids)}
  with random_weights.restored(
      [v for group in groups.values() for v in group]) as restore:
    for name, after in [("parameters", None)] + [
        ("independent", restore)] * independent:
      restore()
      rows = sanity.parameter_randomization(
          explain, lambda stage: random_weights.shuffle(
              groups[stage], [seed, numbers[stage]]), groups, after)
      row |= {name: {r["layer"]: r["similarity"] for r in rows},
              f"{name}_ssim": {r["layer"]: r["ssim"] for r in rows}}
  row["parameters_verdict"] = sanity.verdict(
      list(row["parameters"].values()))
  if other is not None:
    similarity = sanity.data_randomization(
        trained, _explain(other, method, pairs, multi_label)())
    row |= {"labels": similarity, "labels_verdict": sanity.verdict(similarity)}
  return row


def _explain(classifier, method, pairs, multi_label):
  """A function without arguments: one method's maps of all pairs.

  Its result is `[P, H, W]`, computed from the weights at the time of the call.
  """
  maps_of = method_scores.maps_of(classifier, method, multi_label)
  parts = [pairs.part(slice(i, i + method_scores.BATCH))
           for i in range(0, len(pairs.ids), method_scores.BATCH)]
  return lambda: np.concatenate(
      [maps_of(part.images, part.class_index) for part in parts])

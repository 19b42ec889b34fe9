"""The scores of maps by name: `METRICS[name](evidence) -> [P]`."""

import numpy as np

from atcon_tf.evaluation.metrics import adcc
from atcon_tf.evaluation.metrics import complexity
from atcon_tf.evaluation.metrics import faithfulness
from atcon_tf.evaluation.metrics import localization
from atcon_tf.evaluation.metrics import removal_correlation
from atcon_tf.evaluation.metrics import road
from atcon_tf.evaluation.metrics import sanity
from atcon_tf.evaluation.metrics import segment_removal
from atcon_tf.evaluation.metrics import segmentation
from atcon_tf.evaluation.metrics import sensitivity


def _masked(score, dropped=0.0):
  """A score of the whole and the masked images; see `Evidence.masked`."""
  return lambda e: score(*e.masked(dropped))


def _changed(score):
  """A score `fn(predict, images, maps)`."""
  return lambda e: score(e.predict, e.images, e.maps)


def _boxed(score):
  """A score of the pairs with a box; NaN for the others."""
  def scores(evidence):
    known = [i for i, boxes in enumerate(evidence.boxes) if len(boxes)]
    result = np.full(len(evidence.boxes), np.nan)
    if known:
      result[known] = score(np.asarray(evidence.maps)[known],
                            [evidence.boxes[i] for i in known], evidence)
    return result

  return scores


METRICS = {
    "average_drop": _masked(faithfulness.average_drop),
    "average_drop_50": _masked(faithfulness.average_drop, 0.5),
    "average_drop_15": _masked(faithfulness.average_drop, 0.85),
    "increase_in_confidence": _masked(faithfulness.increase_in_confidence),
    "increase_in_confidence_50": _masked(
        faithfulness.increase_in_confidence, 0.5),
    "increase_in_confidence_15": _masked(
        faithfulness.increase_in_confidence, 0.85),
    "average_gain": _masked(faithfulness.average_gain),
    "insertion": _changed(faithfulness.insertion),
    "deletion": _changed(faithfulness.deletion),
    "deletion_blur": _changed(faithfulness.deletion_blur),
    "road": _changed(road.road),
    "infidelity": _changed(faithfulness.infidelity),
    "faithfulness_correlation": _changed(
        removal_correlation.faithfulness_correlation),
    "sensitivity_n": _changed(removal_correlation.sensitivity_n),
    "mu_fidelity": _changed(removal_correlation.mu_fidelity),
    "faithfulness_estimate": _changed(
        removal_correlation.faithfulness_estimate),
    "monotonicity": _changed(removal_correlation.monotonicity),
    "irof": _changed(segment_removal.irof),
    "max_sensitivity": lambda e: sensitivity.max_sensitivity(
        e.explain, e.images, e.maps),
    "average_sensitivity": lambda e: sensitivity.average_sensitivity(
        e.explain, e.images, e.maps),
    "relative_input_stability": lambda e: (
        sensitivity.relative_input_stability(e.explain, e.images, e.maps)),
    "random_logit": lambda e: sensitivity.random_logit(
        e.maps, e.explain_other()),
    "random_weights": lambda e: sanity.similarity(e.maps, e.explain_random()),
    "coherency": lambda e: e.coherency(),
    "adcc": lambda e: adcc.adcc(*e.masked(), e.coherency(),
                                adcc.map_size(e.maps)),
    "sparseness": lambda e: complexity.sparseness(e.maps),
    "complexity": lambda e: complexity.complexity(e.maps),
    "pointing_game": _boxed(
        lambda maps, boxes, e: localization.pointing_game(maps, boxes)),
    "energy_pointing_game": _boxed(
        lambda maps, boxes, e: localization.energy_pointing_game(maps, boxes)),
    "box_iou": _boxed(lambda maps, boxes, e: localization.box_iou(
        maps, boxes, [e.box_threshold])[:, 0]),
    "mask_iou": lambda e: segmentation.mask_ious(
        e.maps, e.masks, [e.mask_threshold])[:, 0],
    "relevance_mass_accuracy": lambda e: (
        segmentation.relevance_mass_accuracy(e.maps, e.masks)),
    "relevance_rank_accuracy": lambda e: (
        segmentation.relevance_rank_accuracy(e.maps, e.masks)),
}

# The metrics that compare a map with what only some records have.
NEEDS = {"pointing_game": "boxes", "energy_pointing_game": "boxes",
         "box_iou": "boxes", "mask_iou": "mask"}

LOWER_IS_BETTER = frozenset([
    "average_drop", "average_drop_50", "average_drop_15", "deletion",
    "deletion_blur", "infidelity", "max_sensitivity", "average_sensitivity",
    "relative_input_stability", "random_logit", "random_weights",
    "complexity"])

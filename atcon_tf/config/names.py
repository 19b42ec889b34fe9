"""The names that flags of the commands offer, and their refusal.

A command answers a wrong flag before it imports TensorFlow, and the modules
of some registries need TensorFlow. So the names stand here. `METHODS` and
`METRICS` repeat the keys of the registries in `attribution` and
`evaluation/metrics`; `tests/commands/flags_first_test.py` compares them.
"""

from atcon_tf.config.errors import one_of
from atcon_tf.config.errors import UserError

# The attribution methods.
METHODS = (
    "cam", "grad_cam", "grad_cam_plus_plus", "xgrad_cam", "hires_cam",
    "layer_cam", "finer_cam", "eigen_cam", "score_cam", "ablation_cam",
    "shapley_cam", "gradient", "input_x_gradient", "guided_backprop",
    "guided_grad_cam", "integrated_gradients", "smooth_grad", "var_grad",
    "square_grad", "blur_integrated_gradients", "guided_integrated_gradients",
    "expected_gradients", "full_grad", "lrp", "lrp_epsilon", "lrp_gamma",
    "lrp_alpha_beta", "lrp_z_plus", "deep_lift", "deep_shap",
    "attention_rollout", "gradient_rollout", "legrad", "tame", "l_cam", "rise",
    "occlusion", "sobol", "hsic", "lime", "kernel_shap",
    "meaningful_perturbation")
# Those of the package tf-keras-vis begin so.
TF_KERAS_VIS = "tf_keras_vis:"
# Stands for the method that wins a tournament.
AUTO = "auto"
# A map that depends on no image: it is highest in the middle.
CENTRE = "(centre)"
# The maps that a served model answers with.
SERVED = ("tame", "l_cam", "grad_cam", "guided_backprop")

# The scores of maps.
METRICS = (
    "average_drop", "average_drop_50", "average_drop_15",
    "increase_in_confidence", "increase_in_confidence_50",
    "increase_in_confidence_15", "average_gain", "insertion", "deletion",
    "deletion_blur", "road", "infidelity", "faithfulness_correlation",
    "sensitivity_n", "mu_fidelity", "faithfulness_estimate", "monotonicity",
    "irof", "max_sensitivity", "average_sensitivity",
    "relative_input_stability", "random_logit", "random_weights", "coherency",
    "adcc", "sparseness", "complexity", "pointing_game",
    "energy_pointing_game", "box_iou", "mask_iou", "relevance_mass_accuracy",
    "relevance_rank_accuracy")
# The scores of a leaderboard by default.
DEFAULT_METRICS = (
    "average_drop", "average_drop_50", "average_drop_15",
    "increase_in_confidence", "increase_in_confidence_50",
    "increase_in_confidence_15", "insertion", "deletion",
    "sparseness", "pointing_game", "energy_pointing_game", "box_iou",
    "mask_iou")
# The name among the metrics that stands for the checks of `randomization`.
SANITY = "sanity"
# Which class of an image is explained.
TARGETS = {
    "box": "the class of its largest object",
    "label": "its label (of several the one the classifier prefers)",
    "prediction": "the class that the classifier gives it",
}

# The colours of maps, of matplotlib.
COLORMAP = "inferno"
# The probability from which on a class is a label, if nothing chose another.
THRESHOLD = 0.5
# What takes the steps of a run.
STRATEGIES = ("auto", "one", "mirrored", "multi_worker")
# What a sweep can compare, and the settings that it chooses for each run.
SWEEP_METRICS = {"map_macro": "mAP", "f1_macro": "macro F1"}
SWEEP_DRAWS = ("shots", "seed", "split_seed", "splits")


def check(setting, names, allowed):
  """Refuses an empty list of names, and names that are not allowed.

  Args:
    setting: which setting has the names, for the message.
    names: list of str.
    allowed: list of str.
  Raises:
    UserError: see above.
  """
  if not names:
    raise UserError(setting, "", f"must be any of {', '.join(allowed)}")
  for name in names:
    if name not in allowed:
      raise UserError(setting, name, one_of(name, allowed))

"""The settings of explanation heads, `objectives/tame.py` and `l_cam.py`."""

import dataclasses

from atcon_tf.config import defaults
from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import check_weights
from atcon_tf.config.fields import flag

_HEADS = {"objective": ("tame", "l_cam")}


@dataclasses.dataclass(frozen=True)
class Heads:
  """Explanation heads, `objectives/tame.py` and `l_cam.py`.

  --target applies as well.
  """

  tame_version: str = flag(
      "tame", "layers of a branch: tame, all of the paper's; the others are "
      "versions of its ablation study",
      choices=("tame", "no_skip", "no_skip_no_batch_norm", "sigmoid_branch"),
      needs={"objective": ("tame",)})
  l_cam_version: str = flag(
      "img", "img: the map multiplies the image; fm: the map multiplies the "
      "feature map", choices=("img", "fm"), needs={"objective": ("l_cam",)})
  feature_layers: tuple[str, ...] = flag(
      (), "layers that the head reads; default: the last layer of each of "
      "the last three resolutions, for l_cam the --cam_layer", needs=_HEADS)
  max_learning_rate: float = flag(
      0.0, "highest rate of SGD in its cycle; biases have twice this rate; "
      "default: by the model", minimum=0.0, needs=_HEADS)
  weight_decay: float = flag(5e-4, "weight decay of the head's kernels",
                             minimum=0.0, needs=_HEADS)
  cross_entropy_weight: float = flag(
      1.5, "weight of the masked image's cross-entropy", minimum=0.0,
      needs=_HEADS)
  area_weight: float = flag(2.0, "weight of the map's area", minimum=0.0,
                            needs=_HEADS)
  area_power: float = flag(0.3, "power of the map's values in its area",
                           minimum=0.01, needs=_HEADS)
  variation_weight: float = flag(
      0.01, "weight of the map's variation", minimum=0.0, needs=_HEADS)


def check(config, given):
  """Refuses a head without a classifier to explain."""
  del given
  if not config.warm_start and not defaults.is_file(config.model):
    raise UserError("objective", config.objective,
                    "explains a trained classifier; name one by "
                    "--warm_start=RUN or --model=FILE.keras")
  check_weights(config, ("cross_entropy_weight", "area_weight",
                         "variation_weight"))
  if config.target == "top2":
    raise UserError("target", "top2",
                    f"goes with --objective=atcon; --objective="
                    f"{config.objective} explains one class of an image: "
                    "argmax or labels")

"""The settings of layer consistency, `objectives/layer_consistency.py`."""

import dataclasses

from atcon_tf.config.fields import flag

_LAYER = {"objective": ("layer_consistency",)}


@dataclasses.dataclass(frozen=True)
class LayerConsistency:
  """Two layers' maps agree, `objectives/layer_consistency.py`.

  --cam_layer=INNER,OUTER names the two layers.
  """

  layer_loss: str = flag("dice", "loss that compares the two layers' maps",
                         choices=("dice", "inclusion"), needs=_LAYER)
  separation: bool = flag(
      True, "add the separation of the maps of the class and of the most "
      "confused class", needs=_LAYER)

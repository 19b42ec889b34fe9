"""The settings of layer consistency, `objectives/layer_consistency.py`."""

import dataclasses

from atcon_tf.config.fields import flag

_LAYER = {"objective": ("layer_consistency",)}


@dataclasses.dataclass(frozen=True)
class LayerConsistency:
  """Two layers' maps agree, `objectives/layer_consistency.py`.

  The layers: --cam_layer=INNER,OUTER.
  """

  layer_loss: str = flag("dice", "how two layers' maps are compared",
                         choices=("dice", "inclusion"), needs=_LAYER)
  separation: bool = flag(True, "add the separation of two classes' maps",
                          needs=_LAYER)

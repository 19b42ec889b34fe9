"""What the scores of a map are computed from."""

import dataclasses
import typing

import numpy as np

from atcon_tf.evaluation.metrics import adcc
from atcon_tf.evaluation.metrics import faithfulness


@dataclasses.dataclass(eq=False)
class Evidence:
  """P pairs of an image and a class, and one method's maps of them.

  Attributes:
    maps: `[P, H, W]`, raw, at the images' size.
    images: `[P, H, W, C]`; see `metrics.faithfulness`.
    predict: `(images [n], pairs [n]) -> [n]`, probability of the class.
    explain: `images [P, H, W, C] -> maps [P, H, W]` of the same classes.
    explain_other: `() -> maps [P, H, W]`, of the images and another class
      than the pair's.
    boxes: list of P arrays `[n, 4]`, or None.
    masks: `[P, H, W]`, or None. 255 means unknown; a pair without a mask has
      255 everywhere.
    box_threshold: share of a map's maximum that bounds its box.
    mask_threshold: share of a map's maximum that bounds its mask.
    black: the value of a black pixel in `images`, a number or `[C]`.
    explain_random: `() -> maps [P, H, W]`, of the same images and classes by
      the network with all its weights in random order.
  """

  maps: np.ndarray
  images: np.ndarray | None = None
  predict: typing.Callable | None = None
  explain: typing.Callable | None = None
  explain_other: typing.Callable | None = None
  boxes: list | None = None
  masks: np.ndarray | None = None
  box_threshold: float = 0.5
  mask_threshold: float = 0.5
  black: np.ndarray | float = 0.0
  explain_random: typing.Callable | None = None

  def __post_init__(self):
    self._whole, self._masked, self._coherency = None, {}, None

  def masked(self, dropped=0.0):
    """Probabilities of the whole and of the masked images, `[P]` each.

    Each is computed once.

    Args:
      dropped: see `faithfulness.masked_probabilities`.
    """
    if self._whole is None:
      self._whole = faithfulness.probabilities(self.predict, self.images)
    if dropped not in self._masked:
      self._masked[dropped] = faithfulness.masked_probabilities(
          self.predict, self.images, self.maps, dropped, self.black)
    return self._whole, self._masked[dropped]

  def coherency(self):
    """`adcc.coherency` of the pairs, `[P]`, computed once."""
    if self._coherency is None:
      self._coherency = adcc.coherency(self.explain, self.images, self.maps,
                                       self.black)
    return self._coherency

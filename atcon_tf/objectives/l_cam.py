"""L-CAM: a head over one layer, trained to explain a frozen classifier.

Gkartzonika, Gkalelis, Mezaris, "Learning Visual Explanations for DCNN-Based
Image Classifiers Using an Attention Mechanism", ECCV Workshops 2022
(arXiv 2209.11189). The losses are those of `tame.py`; with m the map of the
class, F the feature map from which the head makes m, and h the rest of the
network after F:

    img:  logits = classifier(normalize(U(m) x))     the image is masked
    fm:   logits = h(m F)                            the feature map is masked
"""

import tensorflow as tf

from atcon_tf.objectives import tame

VERSIONS = ("img", "fm")


class LCam(tame.Tame):
  """L-CAM-Img and L-CAM-Fm, with the terms of `tame.Tame`."""

  def __init__(self, classifier, version="img", **options):
    """Prepares the loss.

    Args:
      classifier: a `models.Classifier` with a head of version "l_cam".
      version: "img" or "fm".
      **options: further arguments of `tame.Tame`.
    Raises:
      UserError: `version` is "fm" and a skip connection bypasses the layer.
    """
    super().__init__(classifier, **options)
    self.rest = None
    if version == "fm":
      layer = self.view.cam_layers.index(self.head.layers_used[0])
      self.rest = self.view.head_of(layer)

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    return super().from_config(classifier, config, task, twin,
                               version=config.l_cam_version)

  def masked_logits(self, images, features, heat):
    if self.rest is None:
      return super().masked_logits(images, features, heat)
    return self.rest(features[0] * heat[..., tf.newaxis], training=False)

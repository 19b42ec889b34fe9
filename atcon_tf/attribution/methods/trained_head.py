"""The maps of a head that was trained to explain its classifier."""

import tensorflow as tf

from atcon_tf.attribution import forward_pass


def features_of(pass_):
  """The feature maps that the head of the pass's classifier reads.

  Args:
    pass_: a `forward_pass.Pass` of `explanation_head.with_features(...)`.
  Returns:
    list of `[B, h, w, K]`.
  """
  names = pass_.classifier.cam_layers
  return [pass_.features[names.index(n)]
          for n in pass_.classifier.attention.layers_used]


def class_map(pass_, class_index, output="mask"):
  """The map of each image's class by TAME's or L-CAM's trained head.

  TAME: Ntrougkas et al., arXiv 2301.07407. L-CAM: Gkartzonika et al.,
  arXiv 2209.11189.

  Args:
    pass_: a `forward_pass.Pass` of `explanation_head.with_features(...)`.
    class_index: int `[B]`.
    output: "mask", a = sigmoid(c), by which training multiplied the images;
      or "logit", c, which the authors scale to [0, 1] for their scores.
  Returns:
    `[B, H, W]` of the image's size: in (0, 1), or of any sign.

  Example:
    >>> with_head = explanation_head.attach(classifier, "l_cam")
    >>> attribution.explain(with_head, images, "l_cam").shape
    TensorShape([2, 32, 32])
  """
  forward_pass.check("output", output, ("mask", "logit"))
  head = pass_.classifier.attention
  heat = head(features_of(pass_), class_index)
  if output == "mask":
    heat = tf.sigmoid(heat)
  return head.enlarge(heat, pass_.classifier.extent)

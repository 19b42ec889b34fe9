"""Attention rollout: the attention of a Vision Transformer through all blocks.

The methods take a pass whose features are the attention matrices of all
blocks, `[B, heads, T, T]`, in order. `with_attention` makes a classifier with
such passes; `METHODS` calls it.
"""

import tensorflow as tf

from atcon_tf.attribution import applicability
from atcon_tf.config import UserError
from atcon_tf.models import vit


def with_attention(classifier):
  """The same classifier with all its attention layers as cam_layers.

  Raises:
    UserError: the classifier has no attention layer, or is one of clips.
  """
  applicability.check_images(classifier, "attention rollout")
  # A layer of a nested model has two names for one output.
  layers = {id(tensor): name
            for name, tensor in classifier.graph.tensors.items()
            if isinstance(tensor._keras_history.operation, vit.Attention)}
  if not layers:
    raise UserError(
        f"{classifier.name} has no attention to roll out: it must be a Vision "
        "Transformer made of models.vit.Attention layers; use grad_cam "
        "instead")
  return classifier.with_layers(layers.values())


def attention_rollout(pass_, class_index):
  """Attention rollout (Abnar and Zuidema, arXiv 2005.00928).

  `R = (A_L + I) / 2 ... (A_1 + I) / 2`, A_l the mean of block l's attention
  over its heads. The map is the mean of R over its rows, the querying tokens
  (the classifier's head averages them too), on the grid of its columns.

  Args:
    pass_: a `forward_pass.Pass` of `with_attention(classifier)`.
    class_index: not used; the map is the same for every class.
  Returns:
    `[B, h, w]`, not negative, differentiable; its sum is 1 if the network has
    no class token.

  Example:
    >>> model = vit.build(3, image_size=32, patch=8, width=8, depth=2, heads=2)
    >>> attribution.explain(model, images, "attention_rollout").shape
    TensorShape([2, 4, 4])
  """
  del class_index
  rollout = None
  for attention in pass_.features:
    a = tf.reduce_mean(attention, 1)
    a = (a + tf.eye(a.shape[-1], dtype=a.dtype)) / 2
    rollout = a if rollout is None else a @ rollout
  return _on_grid(pass_, rollout)


def gradient_rollout(pass_, class_index):
  """Gradient-weighted rollout (Chefer et al., arXiv 2103.15679).

  `R <- R + E_h[relu(dy_c/dA * A)] R` through the blocks, from `R = I`, which
  is subtracted at the end. It depends on the class c, unlike
  `attention_rollout`.

  Args:
    pass_: a `forward_pass.Pass` of `with_attention(classifier)`.
    class_index: int `[B]`.
  Returns:
    `[B, h, w]`, not negative, differentiable.

  Example:
    >>> model = vit.build(3, image_size=32, patch=8, width=8, depth=2, heads=2)
    >>> attribution.explain(model, images, "gradient_rollout").shape
    TensorShape([2, 4, 4])
  """
  identity = tf.eye(pass_.features[0].shape[-1],
                    dtype=pass_.features[0].dtype)
  rollout = identity
  gradients = pass_.gradient(class_index, pass_.features)
  for attention, gradient in zip(pass_.features, gradients):
    a = tf.reduce_mean(tf.nn.relu(gradient * attention), 1)
    rollout += a @ (rollout + tf.zeros_like(a))
  return _on_grid(pass_, rollout - identity)


def _on_grid(pass_, rollout):
  """The mean over the querying tokens, on the grid of the cells.

  The last `height * width` tokens stand for cells; tokens before them, such
  as a class token, are not on the grid.
  """
  operation = pass_.classifier.maps.outputs[0]._keras_history.operation
  height, width = operation.grid
  seen = tf.reduce_mean(rollout, 1)[:, -height * width:]
  return tf.reshape(seen, [-1, height, width])

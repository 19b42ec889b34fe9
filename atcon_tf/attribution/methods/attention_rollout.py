"""Attention rollout: the attention of a Vision Transformer through all blocks.

The methods take a pass of `attention_scores.with_attention(classifier)`;
`METHODS` calls it. The token that the head reads, a class token or all of
them, is where the last output has a gradient.
"""

import tensorflow as tf

from atcon_tf.attribution import attention_scores


def attention_rollout(pass_, class_index):
  """Attention rollout (Abnar and Zuidema, arXiv 2005.00928).

  `R = (A_L + I) / 2 ... (A_1 + I) / 2`, A_l the mean of block l's attention
  over its heads. The map is the row of R of the class token, or the mean of
  its rows if the classifier's head averages the tokens, on the grid of its
  columns.

  Args:
    pass_: a `forward_pass.Pass`, see the top of this file.
    class_index: int `[B]`; the map is the same for every class.
  Returns:
    `[B, h, w]`, not negative, differentiable; its sum is 1 if the network has
    no other tokens than cells.

  Example:
    >>> model = vit.build(3, image_size=32, patch=8, width=8, depth=2, heads=2)
    >>> attribution.explain(model, images, "attention_rollout").shape
    TensorShape([2, 4, 4])
  """
  rollout = None
  for attention in attention_scores.of(pass_)[0]:
    a = tf.reduce_mean(attention, 1)
    a = (a + tf.eye(a.shape[-1], dtype=a.dtype)) / 2
    rollout = a if rollout is None else a @ rollout
  return _of_the_tokens_read(pass_, class_index, rollout)


def gradient_rollout(pass_, class_index):
  """Chefer's relevance, gradient-weighted rollout (arXiv 2103.15679).

  Chefer, Gur and Wolf, ICCV 2021. `R <- R + E_h[relu(dy_c/dA * A)] R` through
  the blocks, from `R = I`, which is subtracted at the end. It depends on the
  class c, unlike `attention_rollout`. The map is read off R as there.

  Args:
    pass_: a `forward_pass.Pass`, see the top of this file.
    class_index: int `[B]`.
  Returns:
    `[B, h, w]`, not negative, differentiable.

  Example:
    >>> model = vit.build(3, image_size=32, patch=8, width=8, depth=2, heads=2)
    >>> attribution.explain(model, images, "gradient_rollout").shape
    TensorShape([2, 4, 4])
  """
  scores, _ = attention_scores.of(pass_)
  identity = tf.eye(scores[0].shape[-1], dtype=scores[0].dtype)
  rollout = identity
  for attention, gradient in zip(scores, pass_.gradient(class_index, scores)):
    a = tf.reduce_mean(tf.nn.relu(gradient * attention), 1)
    rollout += a @ (rollout + tf.zeros_like(a))
  return _of_the_tokens_read(pass_, class_index, rollout - identity)


def _of_the_tokens_read(pass_, class_index, rollout):
  """The mean row of the tokens that the head reads, on the grid."""
  _, sums = attention_scores.of(pass_)
  read = tf.reduce_any(pass_.gradient(class_index, sums[-1]) != 0, -1)
  read = tf.cast(read, rollout.dtype)
  row = tf.math.divide_no_nan(tf.einsum("bq,bqk->bk", read, rollout),
                              tf.reduce_sum(read, 1, keepdims=True))
  return attention_scores.on_grid(pass_, row)

"""LeGrad: to which attention do the outputs of all blocks respond?"""

import tensorflow as tf

from atcon_tf.attribution import attention_scores
from atcon_tf.attribution import forward_pass


def legrad(pass_, class_index):
  """LeGrad (Bousselham et al., arXiv 2404.03214), before its scaling.

  `C = mean_l mean_hq relu(d y_c(Z_l) / d A_l)_hq`: the gradients of the
  attention A_l of block l, over heads h and querying tokens q. y_c(Z_l) is the
  logit that the classifier's own head, all that follows the last block, gives
  for the output Z_l of block l. It counts how an output would change with the
  attention, not how large the attention is.

  Args:
    pass_: a `forward_pass.Pass` of `attention_scores.with_attention(...)`;
      `METHODS` calls it.
    class_index: int `[B]`.
  Returns:
    `[B, h, w]`, not negative, differentiable.

  Example:
    >>> model = vit.build(3, image_size=32, patch=8, width=8, depth=2, heads=2)
    >>> attribution.explain(model, images, "legrad").shape
    TensorShape([2, 4, 4])
  """
  scores, blocks = attention_scores.of(pass_)
  head = pass_.classifier.head_of(-1)
  heat = 0
  for attention, tokens in zip(scores, blocks):
    with pass_.tape:
      logits = head(tokens, training=False)
      score = forward_pass.pick(logits, class_index)
    slope = pass_.gradient_of_score(score, attention)
    heat += tf.reduce_mean(tf.nn.relu(slope), [1, 2])
  return attention_scores.on_grid(pass_, heat / len(scores))

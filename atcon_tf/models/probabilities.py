"""From logits to probabilities, and from probabilities to labels."""

import numpy as np
from scipy import special
import tensorflow as tf

from atcon_tf.config.names import THRESHOLD


def probability(logits, multi_label):
  """Sigmoid (several labels an image) or softmax (one) of logits.

  Args:
    logits: `[..., classes]`. Of a tensor the result is a tensor of its dtype;
      of anything else it is a NumPy array in float64, in which probabilities
      close to 1 still rank like their logits.
    multi_label: whether an image may show several classes.
  """
  if tf.is_tensor(logits):
    return tf.sigmoid(logits) if multi_label else tf.nn.softmax(logits)
  logits = np.asarray(logits, np.float64)
  return special.expit(logits) if multi_label else special.softmax(logits, -1)


def labels(probability, multi_label, threshold=None):
  """Which classes are the labels of images, bool `[N, classes]`.

  With several labels an image, those whose probability reaches the threshold;
  with one, the most probable class. Of two classes the second is the label if
  its probability reaches the threshold.

  Args:
    probability: `[N, classes]`, an array or a tensor; so is the result.
    multi_label: whether an image may show several classes.
    threshold: None: 0.5 with several labels an image, else none.

  Example:
    >>> labels(np.array([[.7, .3]]), False, threshold=.2)
    array([[False,  True]])
  """
  if multi_label:
    return probability >= (THRESHOLD if threshold is None else threshold)
  count = probability.shape[-1]
  if threshold is None:
    best = tf.argmax(probability, -1)
  else:
    best = tf.cast(probability[..., 1] >= threshold, tf.int64)
  chosen = tf.one_hot(best, count, on_value=True, off_value=False)
  return chosen if tf.is_tensor(probability) else chosen.numpy()

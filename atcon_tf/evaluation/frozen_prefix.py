"""What the frozen layers give for each image, computed once in a run.

If only the last stage of a network is trained, most of a forward pass is the
same in every validation and in every ranking of the pool. `FrozenPrefix` cuts
the network at the last map that every image passes before a trained layer,
and keeps this map of the images that are asked for again.
"""

import collections
import hashlib

import keras
import numpy as np
import tensorflow as tf

# The most bytes that the kept maps may need.
BUDGET = 1 << 30


def cut(model, trained, most):
  """The last tensor that all images pass before a trained layer.

  Args:
    model: a functional model without models inside.
    trained: list of variables.
    most: the most numbers that the tensor may hold for an image.
  Returns:
    a symbolic tensor of the model; None: there is none but the input.
  """
  trained = {id(v) for v in trained}
  order = [node for depth in sorted(model._nodes_by_depth, reverse=True)
           for node in model._nodes_by_depth[depth]]
  readers = collections.Counter(id(t) for t in model.outputs)
  for node in order:
    readers.update(id(t) for t in node.input_tensors)
  live, found = {}, None
  for node in order:
    if not node.is_input:
      if any(id(v) in trained
             for v in getattr(node.operation, "variables", ())):
        break
      for tensor in node.input_tensors:
        readers[id(tensor)] -= 1
        if not readers[id(tensor)]:
          live.pop(id(tensor), None)
    live |= {id(t): t for t in node.outputs}
    if len(live) == 1 and not node.is_input and not isinstance(
        node.operation, keras.layers.ZeroPadding2D):
      (tensor,) = live.values()
      if np.prod(tensor.shape[1:], dtype=np.int64) <= most:
        found = tensor
  return found


class FrozenPrefix:
  """The frozen part of a classifier, and what it gives for images.

  Attributes:
    tensor: where `classifier.maps` is cut; None: no part of it is frozen.
  """

  def __init__(self, classifier, trained, count, budget=BUDGET):
    """Cuts the classifier.

    Args:
      classifier: a `models.Classifier`.
      trained: variables that change during the run.
      count: number of images that will be asked for.
      budget: the most bytes that their maps may need.
    """
    self.tensor = cut(classifier.maps, trained, budget // (4 * max(count, 1)))
    if self.tensor is None:
      return
    self._model = keras.Model(classifier.maps.input, self.tensor)
    self._classifier, self._kept = classifier, {}
    self._images = self._weights = None
    self._run = tf.function(
        lambda x: self._model(classifier.normalize(x), training=False),
        autograph=False, input_signature=[tf.TensorSpec(
            [None, *classifier.image_shape], classifier.maps.input.dtype)])

  def rest(self, outputs):
    """`[B, ...]` of `of` -> outputs of `classifier.maps`, a function.

    Args:
      outputs: a symbolic tensor of `classifier.maps`, or a list of them.
    """
    wanted = keras.tree.flatten(outputs)
    # A Keras model whose input is one of its outputs has a broken graph.
    model = keras.Model(self.tensor,
                        [t for t in wanted if t is not self.tensor])

    def run(x):
      found = iter(keras.tree.flatten(model(x, training=False)))
      return keras.tree.pack_sequence_as(outputs, [
          x if t is self.tensor else next(found) for t in wanted])

    return tf.function(
        run, autograph=False,
        input_signature=[tf.TensorSpec(self.tensor.shape, self.tensor.dtype)])

  def of(self, images, records):
    """The maps of records at the cut, `[n, ...]`.

    Args:
      images: `image_store.Images` that holds the records.
      records: list of n `Record`.
    """
    rows = images.rows([r.id for r in records]).tolist()
    missing = [i for i, row in enumerate(rows) if row not in self._kept]
    if missing:
      found = self._run(tf.cast(images.batch([records[i] for i in missing]),
                                self._classifier.maps.input.dtype)).numpy()
      self._kept.update(zip((rows[i] for i in missing), found))
    return np.stack([self._kept[row] for row in rows])

  def check(self, images):
    """Forgets what other images, or other weights, have given."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in self._model.variables:
      digest.update(np.ascontiguousarray(variable.numpy()))
    if images is not self._images or digest.digest() != self._weights:
      self._kept = {}
    self._images, self._weights = images, digest.digest()

"""A classifier whose backward pass computes activations a second time.

    small = recomputation.of(classifier)      # over the same variables

"Training deep nets with sublinear memory cost" (Chen et al., arXiv
1604.06174): the network is cut into parts, only the tensors between them are
kept, and the backward pass of a part runs it forward again. A gradient costs
one more forward pass and needs the memory of the largest part and of the cuts.

`tf.recompute_grad` refuses second derivatives. Here the second run and its
gradient are plain operations that a tape may record, so the gradient of a
gradient, which ATCON's loss takes, is that of the whole network. Its first
gradient then keeps the activations of its second run, so such a step saves
less; docs/performance.md has both.
"""

import collections
import copy
import math

import keras
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.models import batch_norm_folding


def of(classifier):
  """The classifier with its `maps` and its `model` recomputed.

  Args:
    classifier: a `models.Classifier`.
  Raises:
    UserError: a map lies where the network cannot be cut, or it is of clips.
  """
  if classifier.frames:
    raise UserError("recompute", True, "not used with clips")
  again = copy.copy(classifier)
  again.maps = _in_parts(classifier.maps, classifier.name)
  again.model = again._of_images(again.maps)
  again._features, again._folded, again._heads = None, None, {}
  return again


class Recomputed(keras.layers.Layer):
  """A part of a network that runs again when its gradient is taken."""

  def __init__(self, part, **kwargs):
    """Shares the layers of the part.

    Args:
      part: a Keras model of one input.
    """
    super().__init__(**kwargs)
    self.part = part

  def call(self, x, training=False):
    """The output of the part, with frozen batch normalisation.

    Raises:
      ValueError: `training`: the second run would update statistics again.
    """
    if training:
      raise ValueError("a recomputed network has no batch statistics")
    variables = self.part.variables

    def run(x, values):
      with keras.StatelessScope(state_mapping=list(zip(variables, values))):
        with batch_norm_folding.shared_kernels():
          return self.part(x, training=False)

    # The values are arguments, so that a second derivative reaches them.
    @tf.custom_gradient
    def forward(x, *values):
      def backward(dy):
        with tf.GradientTape() as tape:
          late = _after(dy, x), *map(tf.identity, values)
          tape.watch(late)
          y = run(late[0], late[1:])
        return tape.gradient(y, late, dy)

      return run(x, values), backward

    return forward(x, *map(tf.convert_to_tensor, variables))

  def compute_output_spec(self, x, training=False):
    return self.part.compute_output_spec(x)


def _after(dy, x):
  """`x`, computed when `dy` is known.

  Otherwise TensorFlow finds that the second run repeats the first one, and
  keeps its results, or runs it early.
  """
  first = tf.stop_gradient(tf.reshape(dy, [-1])[0])
  # NaN equals nothing, itself included: 0 unless the gradient is broken.
  nothing = tf.where(first == first, tf.zeros_like(first),
                     first.dtype.as_numpy_dtype("nan"))
  return x + tf.cast(nothing, x.dtype)


def _in_parts(model, name):
  """The functional model as a chain of `Recomputed` parts and its head.

  Args:
    model: a functional model of one input.
    name: of the classifier, for the error.
  """
  start = x = model.input
  made = {}
  for number, cut in enumerate(_cuts(model, name)):
    x = Recomputed(keras.Model(start, cut), name=f"recomputed_{number}",
                   dtype=x.dtype)(x)
    made[id(cut)], start = x, cut
  # The head is small, and methods take gradients of its input.
  logits = keras.Model(start, model.outputs[-1], name="rest")(x)
  return keras.Model(model.input, [made[id(t)] for t in model.outputs[:-1]]
                     + [logits], name=model.name)


def _cuts(model, name):
  """The tensors between the parts, about as many as a part has of them.

  A tensor can be one if all that follows reads nothing else that was before
  it. The outputs of the model are among them, since gradients are taken with
  respect to them, and so is the last map.

  Args:
    model, name: as for `_in_parts`.
  Raises:
    UserError: an output cannot be one.
  """
  order = [node for depth in sorted(model._nodes_by_depth, reverse=True)
           for node in model._nodes_by_depth[depth]]
  left = collections.Counter(id(tensor) for node in order if not node.is_input
                             for tensor in node.input_tensors)
  waiting, necks, size = set(), [], 0
  for node in order:
    for tensor in () if node.is_input else node.input_tensors:
      left[id(tensor)] -= 1
      if not left[id(tensor)]:
        waiting.discard(id(tensor))
    for tensor in node.outputs:
      size += math.prod(tensor.shape[1:])
      if left[id(tensor)]:
        waiting.add(id(tensor))
    if not node.is_input and len(node.outputs[0].shape) > 3 and (
        waiting == {id(node.outputs[0])}):
      necks.append((size, node.outputs[0]))
  needed = {id(tensor) for tensor in model.outputs[:-1]}
  missing = needed - {id(tensor) for _, tensor in necks}
  if missing or not necks:
    raise UserError("recompute", True,
                    f"not used with these maps of {name}: another path passes "
                    "by their layer")
  parts = math.ceil(math.sqrt(len(necks)))
  needed.add(id(necks[-1][1]))
  cuts, edge = [], 1
  for size, tensor in necks:
    if id(tensor) in needed or size >= edge * necks[-1][0] / parts:
      cuts.append(tensor)
      edge = math.floor(size * parts / necks[-1][0]) + 1
  return cuts

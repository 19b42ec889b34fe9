"""A classifier with other layers in place of some, over the same variables."""

import dataclasses

import keras

from atcon_tf.models.graph import ModelGraph


def of(classifier, stand_in):
  """The classifier with some of its layers replaced.

  Args:
    classifier: a `models.Classifier`.
    stand_in: function of a layer that gives the layer in its place, with the
      same variables and shapes; None: the layer stays.
  Returns:
    a `Classifier` that knows its layers by the same names.
  """
  network = classifier.network
  images = keras.Input(network.input_shape[1:], name="normalized",
                       dtype=network.input.dtype)
  graph = ModelGraph(keras.Model(network.input, network.outputs[-1]), images,
                     stand_in=stand_in)

  def again(tensor):
    return graph.tensors.get(tensor._keras_history.operation.name)

  (logits,) = keras.tree.flatten(graph.outputs)
  maps = [again(tensor) for tensor in network.outputs[:-1]]
  old = classifier.graph
  graph.tensors = {name: again(tensor) for name, tensor in old.tensors.items()
                   if again(tensor) is not None}
  graph.geometry, graph.left_out = old.geometry, old.left_out
  return dataclasses.replace(
      classifier, network=keras.Model(images, [*maps, logits]), graph=graph)

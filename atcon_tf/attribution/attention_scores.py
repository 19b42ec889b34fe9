"""The attention of a Vision Transformer, block by block, in a forward pass.

    ready = attention_scores.with_attention(classifier, "legrad")
    scores, sums = attention_scores.of(forward_pass.forward(ready, images))

The blocks are found in the classifier's graph: those of `models/vit.py` and
those of `keras.layers.MultiHeadAttention`, also inside of layers that the
graph could open (`models/token_grid.py`), as in KerasHub's ViT and DINOv2.
"""

import dataclasses

import keras
import tensorflow as tf

from atcon_tf.attribution import applicability
from atcon_tf.config import UserError
from atcon_tf.models import guided_relu
from atcon_tf.models import token_grid
from atcon_tf.models import vit


def with_attention(classifier, method):
  """The same classifier, whose passes hold its attention and its blocks.

  Args:
    classifier: a `models.Classifier`.
    method: name of the method that needs it, for messages.
  Returns:
    a `Classifier` with the features of `of`.
  Raises:
    UserError: it has no attention, hides it, or has clips or no grid.
  """
  applicability.check_images(classifier, method)
  old = classifier.network
  scores, sums, names, unread = [], [], [], []

  def call(operation, *args, **kwargs):
    if not _of_itself(operation, args, kwargs):
      output = operation(*args, **kwargs)
      if scores and guided_relu.is_keras(operation, "Add") and (
          output.shape[1:-1] == scores[-1].shape[2:3]):
        unread[:] = [output]
      return output
    output, own = _attended(operation, args, kwargs, classifier.name, method)
    if scores:
      sums.append(_block(unread, names[-1], classifier.name, method))
    scores.append(own)
    names.append(operation.name)
    unread.clear()
    return output

  x = keras.Input(old.input_shape[1:], dtype=old.input.dtype,
                  name="normalized")
  logits = keras.tree.flatten(old._run_through_graph(x, call_fn=call))[-1]
  if not scores:
    raise UserError(
        f"{method}: {classifier.name} has no attention to read: it must be a "
        "Vision Transformer whose graph shows its attention layers, of Keras "
        "(MultiHeadAttention) or models.vit; use grad_cam instead")
  sums.append(_block(unread, names[-1], classifier.name, method))
  names += [s._keras_history.operation.name for s in sums]
  ready = dataclasses.replace(
      classifier, network=keras.Model(x, [*scores, *sums, logits]),
      cam_layers=tuple(names), geometry=[None] * len(names))
  if _grid(ready) is None or len({s.shape[-1] for s in scores}) > 1:
    raise UserError(
        f"{method}: the tokens of {classifier.name} are not one grid of "
        f"patches after at most {token_grid.MOST_BEFORE} others; use "
        "grad_cam or rise instead")
  return ready


def _of_itself(operation, args, kwargs):
  """Whether tokens attend to themselves, not one of them to all others."""
  tensors = [x for x in keras.tree.flatten((args, kwargs))
             if isinstance(x, keras.KerasTensor)]
  return isinstance(operation, (
      vit.Attention, keras.layers.MultiHeadAttention)) and all(
          x.shape[1] == tensors[0].shape[1] for x in tensors)


def _attended(operation, args, kwargs, model, method):
  """The output of an attention layer, and its scores `[B, heads, T, T]`."""
  if isinstance(operation, vit.Attention):
    output = operation(*args, **kwargs)
    return output, output
  if getattr(operation, "_flash_attention", False):
    raise UserError(
        f"{method}: the attention layer {operation.name} of {model} is of "
        "flash attention, which keeps no scores; build the model after "
        "keras.config.disable_flash_attention()")
  if len(args[0].shape) != 3:
    raise UserError(
        f"{method}: the attention layer {operation.name} of {model} attends "
        "along several axes; use grad_cam instead")
  # Keras asks the first call of an operation how many outputs it has.
  operation = guided_relu.altered(operation)
  output, scores = operation(*args, **{**kwargs,
                                       "return_attention_scores": True})
  return (output, scores) if kwargs.get("return_attention_scores") else (
      output), scores


def _block(sums, layer, model, method):
  """The last sum of tokens after an attention layer: its block's output."""
  if not sums:
    raise UserError(
        f"{method}: no sum of tokens follows the attention layer {layer} of "
        f"{model}: it is not made of residual blocks; use grad_cam instead")
  return sums[0]


def _grid(classifier):
  """`(h, w)`, the cells for which the last h w tokens stand; or None."""
  kinds = vit.Attention, token_grid.TokenGrid
  return next((operation.grid for operation in classifier.maps.operations
               if isinstance(operation, kinds)), None)


def of(pass_):
  """The features of a pass of a classifier `with_attention`.

  Args:
    pass_: a `forward_pass.Pass`.
  Returns:
    two lists with an entry for each block: its attention `[B, heads, T, T]`,
    row q the softmax over the keys of token q; and its output, the sums
    `[B, T, C]`.
  """
  half = len(pass_.features) // 2
  return pass_.features[:half], pass_.features[half:]


def on_grid(pass_, values):
  """Values `[B, T]` of tokens, `[B, h, w]` of the cells."""
  height, width = _grid(pass_.classifier)
  return tf.reshape(values[:, -height * width:], [-1, height, width])

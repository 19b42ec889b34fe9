"""A network of images, run over the frames of clips.

    base = over_frames(backbone, frames=16)
    features = base(clips)          # [B, T, H, W, 3] -> [B, T, h, w, C]

`MergeTime` makes the frames of all clips one batch of images, `SplitTime`
makes clips of them again. The network's own layers stay as they are between
the two, so that whatever holds for images (guided ReLUs, folded batch
normalisation, the geometry of rows and columns) holds for frames. A head that
pools the result over time, rows and columns classifies by the mean over the
frames (Wang et al., "Temporal Segment Networks", arXiv 1608.00859).
"""

import keras


@keras.saving.register_keras_serializable("atcon_tf")
class MergeTime(keras.layers.Layer):
  """`[B, T, ...]` -> `[B T, ...]`."""

  def call(self, x):
    return keras.ops.reshape(x, (-1, *x.shape[2:]))

  def compute_output_shape(self, shape):
    return (None, *shape[2:])


@keras.saving.register_keras_serializable("atcon_tf")
class SplitTime(keras.layers.Layer):
  """`[B T, ...]` -> `[B, T, ...]`."""

  def __init__(self, frames, **kwargs):
    super().__init__(**kwargs)
    self.frames = frames

  def call(self, x):
    return keras.ops.reshape(x, (-1, self.frames, *x.shape[1:]))

  def compute_output_shape(self, shape):
    return (None, self.frames, *shape[1:])

  def get_config(self):
    return {**super().get_config(), "frames": self.frames}


def over_frames(base, frames):
  """A network of images as a network of clips.

  Args:
    base: a Keras model, `[B, H, W, C]` -> `[B, ...]`.
    frames: T, the number of frames of a clip.
  Returns:
    a Keras model over the layers of `base`, `[B, T, H, W, C]` ->
    `[B, T, ...]`.

  Example:
    >>> image = keras.Input([8, 8, 3])
    >>> base = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    >>> over_frames(base, 5).output_shape
    (None, 5, 6, 6, 4)
  """
  clips = keras.Input([frames, *base.input_shape[1:]])
  x = SplitTime(frames, name="split_time")(
      base(MergeTime(name="merge_time")(clips)))
  return keras.Model(clips, x, name=base.name)

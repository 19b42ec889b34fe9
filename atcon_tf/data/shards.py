"""Images of a prepared folder: TFRecords, and an index beside each.

    images-00003.tfrecord   a `tf.train.Example` for each image
    images-00003.jsonl      a line on that file, then one for each image

An Example has the names that object detection with TensorFlow uses:
image/encoded (PNG), image/height, image/width, image/source_id,
image/class/label (the indices of all labels) and image/object/bbox/xmin, ymin,
xmax, ymax, image/object/class/label. image/mask is a PNG with the values of
`Record.mask`, and image/group the group. The index repeats all but the pixels
and says where each Example lies, so that one image is read without the others.
"""

import dataclasses
import io

import numpy as np
import PIL.Image
import tensorflow as tf

from atcon_tf.config import image_sizes
from atcon_tf.data import class_masks
from atcon_tf.data import decoding
from atcon_tf.data import framing
from atcon_tf.data import image_store

# A TFRecord has a length and its check sum before the data, and one behind.
BEFORE, BEHIND = 12, 4
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def name_of(number):
  """The name of a shard and of its index, without the ending."""
  return f"images-{number:05d}"


@dataclasses.dataclass(frozen=True)
class Stored:
  """One image of a shard; a call reads its pixels.

  Attributes:
    path: of the shard.
    start, length: place of the image's Example in it, in bytes.
    version: digest of the shard, the same while its images are.
  """

  path: str
  start: int
  length: int
  version: str = ""

  def __call__(self):
    """The pixels, uint8 `[height, width, 3]`."""
    return decoding.rgb(io.BytesIO(self._bytes("image/encoded")))

  def mask(self):
    """The mask, uint8 `[height, width]`."""
    encoded = io.BytesIO(self._bytes("image/mask"))
    decoding.check_sums(encoded)
    with decoding.open_image(encoded) as image:
      return np.asarray(image)

  def _bytes(self, name):
    """The value of a feature of the Example.

    Raises:
      ValueError: the shard is damaged.
    """
    with open(self.path, "rb") as file:
      file.seek(self.start)
      content = file.read(self.length)
    try:
      example = tf.train.Example.FromString(content)
      return example.features.feature[name].bytes_list.value[0]
    except Exception as error:  # protobuf raises a class of its own
      raise ValueError(f"{self.path}: damaged at byte {self.start}") from error


def encode(record, size, several, damaged):
  """The Example of a record, and its line of the index.

  Args:
    record: a `Record`; its boxes are in its frame already.
    size: of the network.
    several: as of `image_store.decode`.
    damaged: dict that gets `{path: what libjpeg warns of}`, see
      `decoding.damage`.
  Returns:
    bytes, and a dict without the place in the file.
  Raises:
    UserError: its mask does not fit the image.
    Exception: the image does not decode.
  """
  pixels = image_store.decode(record, size, several)
  damage = isinstance(record.image, str) and decoding.damage(record.image)
  if damage:
    damaged[record.image] = damage
  line = {"id": record.id, "label": np.flatnonzero(record.label).tolist(),
          "boxes": record.boxes.tolist(),
          "box_label": record.box_label.tolist(), "group": record.group,
          "mask": bool(record.mask)}
  features = {
      "image/source_id": record.id, "image/encoded": _png(pixels),
      "image/format": "png", "image/height": pixels.shape[0],
      "image/width": pixels.shape[1], "image/class/label": line["label"],
      "image/object/class/label": line["box_label"],
      "image/group": record.group}
  for side, values in zip(_SIDES, record.boxes.T):
    features[f"image/object/bbox/{side}"] = values.tolist()
  if record.mask:
    mask = record.mask()
    if mask.shape != framing.seen_size(record):
      class_masks.drawn(record, size)  # says what is wrong
    features["image/mask"] = _png(class_masks.sampled(
        mask, image_sizes.pair(size)))
  return tf.train.Example(features=tf.train.Features(feature={
      name: _feature(value) for name, value in features.items()
  })).SerializeToString(deterministic=True), line


def _png(values):
  file = io.BytesIO()
  PIL.Image.fromarray(values).save(file, "PNG", compress_level=1)
  return file.getvalue()


def _feature(value):
  """A feature of bytes, text, an integer, or a list of numbers."""
  if isinstance(value, (bytes, str)):
    value = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
  if isinstance(value, list) and any(isinstance(v, float) for v in value):
    return tf.train.Feature(float_list=tf.train.FloatList(value=value))
  value = value if isinstance(value, list) else [value]
  return tf.train.Feature(int64_list=tf.train.Int64List(value=value))

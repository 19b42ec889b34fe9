"""The labels that a classifier gives to pictures of any size.

    paths, probability, bad = predict(classifier, True, ["a.jpg", "b.png"])
"""

import concurrent.futures

import numpy as np
import tensorflow as tf

from atcon_tf.config import files
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf.data.sources import binary_masks
from atcon_tf.models import probabilities


def threshold_of(thresholds):
  """The threshold of labels in "thresholds" of result.json, or None.

  It is that of every class where an image can show several, and that of the
  second of two classes.
  """
  return thresholds.get("probability", thresholds.get("positive"))


def without_masks(paths, config, tell):
  """Paths of pictures without the masks of an inspection set among them.

  Args:
    paths: list of `pathlib.Path`.
    config: of the run that shall see the pictures.
    tell: called with a line if masks are left out.
  """
  masks = binary_masks.masks_among(paths) if (
      config.dataset == "binary_masks") else ()
  if masks:
    tell(f"left out: {len(masks)} masks of other pictures, for example "
         f"{files.printable(min(masks))}")
  return [path for path in paths if path not in masks]


def predict(classifier, multi_label, images, batch_size=32, progress=False,
            resize="squeeze"):
  """The probabilities of the classes for pictures.

  Args:
    classifier: a `models.Classifier`.
    multi_label: whether a probability is a sigmoid or a softmax.
    images: list of paths, or of uint8 arrays `[height, width, 3]`.
    batch_size: pictures at once.
    progress: show a bar.
    resize: how pictures are fitted to the network, see `data.framing`.
  Returns:
    the N images that can be read, `[N, classes]`, and
    `{path: what is wrong}` of the others.
  Raises:
    UserError: the classifier is one of clips.
  """
  if classifier.frames:
    raise UserError("images", None, f"{classifier.name} sees clips of "
                    f"{classifier.frames} frames, not pictures")
  logits = tf.function(
      lambda x: classifier.model(x, training=False),
      input_signature=[tf.TensorSpec([None, *classifier.image_shape],
                                     classifier.model.input.dtype)])
  bar = Progress(len(images), "pictures", progress)
  read, found, bad = [], [np.zeros([0, classifier.num_classes])], {}
  with concurrent.futures.ThreadPoolExecutor() as pool:
    for first in range(0, len(images), batch_size):
      part, pixels = images[first:first + batch_size], []
      for one, seen in zip(part, pool.map(
          lambda image: _try_read(image, classifier.image_size, resize), part)):
        if isinstance(seen, str):
          bad[one] = seen
        else:
          read.append(one)
          pixels.append(seen)
      if pixels:
        found.append(probabilities.probability(
            logits(np.stack(pixels)).numpy(), multi_label))
      bar.update(min(first + batch_size, len(images)))
  return read, np.concatenate(found), bad


def _try_read(image, size, resize):
  """A picture as the network sees it, or what is wrong with it, a text."""
  try:
    return pictures.for_network(image, size, resize)[0]
  except UserError as error:
    return str(error).removeprefix(f"{image}: ")


def named(probability, multi_label, class_names, threshold=None):
  """The names of the labels of each image.

  Args:
    probability: `[N, classes]`.
    multi_label, threshold: see `probabilities.labels`.
    class_names: of the classes.
  Returns:
    list of N tuples of names.
  """
  chosen = probabilities.labels(probability, multi_label, threshold)
  return [tuple(class_names[c] for c in np.flatnonzero(row))
          for row in chosen]


def listed(images):
  """One picture or several as a list of paths or arrays.

  Args:
    images: a path, folder or glob, or a uint8 array `[height, width, 3]`; or
      several of them; or an array `[N, height, width, 3]`.
  Raises:
    UserError: there is no image, or an array is no picture.
  """
  if isinstance(images, np.ndarray) and images.ndim == 4:
    images = list(images)
  several = list(images) if isinstance(images, (list, tuple)) else [images]
  if not several:
    raise UserError("images", images, "must be at least one")
  found = []
  for image in several:
    if not isinstance(image, np.ndarray):
      found += pictures.find([image])
    elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
      raise UserError("images", f"{image.dtype}{list(image.shape)}",
                      "an array must be uint8 [height, width, 3]")
    else:
      found.append(image)
  return found

"""The training images that a run's network finds most like a picture.

    nearest = NearestImages(runs.load("W/run"))
    nearest(images, 3)          # images [B, S, S, 3] in [0, 1]

Explanation by examples: a prediction is explained by the labelled images that
lie closest in the vector that the last dense layer reads (as in Papernot and
McDaniel, "Deep k-nearest neighbors", arXiv 1803.04765). The prototypes of a
class are the medoids of its training images in the same space.
"""

import dataclasses

import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data.record import Record
from atcon_tf.models.classifier import halves
from atcon_tf.runs import medoids
from atcon_tf.runs import run_data

BATCH_SIZE = 32
# Of a class, the first so many images can become its prototypes.
CANDIDATES = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbour:
  """A training image that is close to a picture.

  Attributes:
    record: its `Record`.
    classes: names of the classes that it shows.
    similarity: cosine of the two vectors of features, at most 1; of a
      prototype its mean over the images of the class.
    pixels: float32 `[S, S, 3]` in [0, 1], as the network sees it.
  """

  record: Record
  classes: tuple
  similarity: float
  pixels: np.ndarray


class NearestImages:
  """The labelled training images of a run, with their features.

  Attributes:
    records: list of N `Record`s.
    features: `[N, D]`, of length 1 each; 0 where an image has none.
    model: the Keras model that computes them, before they get this length,
      from normalised images.
  """

  def __init__(self, run, ids=None):
    """Reads the images and computes their features.

    Args:
      run: a `runs.Run`, whose data are where they were.
      ids: of those labelled training images that count; None: all.
    Raises:
      UserError: the data are missing, or the logits do not come from a dense
        layer on a vector.
    """
    self._classifier, self._class_names = run.classifier, run.class_names
    self.model, _ = halves(run.classifier)
    if ids is not None:
      run = dataclasses.replace(run, split={**run.split, "train_labeled": ids})
    self.records, self._images = run_data.load_part(run, "train_labeled")
    self.features = np.concatenate([
        self._of(self._images.batch(self.records[i:i + BATCH_SIZE]))
        for i in range(0, len(self.records), BATCH_SIZE)])

  def _of(self, images):
    """Features of length 1, `[B, D]`; 0 where there are none."""
    features = self.model(self._classifier.normalize(images),
                              training=False).numpy().astype(np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)

  def check(self, count):
    """Refuses to look for more images than there are.

    Raises:
      UserError: see above.
    """
    if count > len(self.records):
      raise UserError("examples", count, "must be at most the number of "
                      f"labelled training images, {len(self.records)}")

  def __call__(self, images, count):
    """The nearest training images of each image.

    Args:
      images: float32 `[B, S, S, 3]` in [0, 1].
      count: how many.
    Returns:
      B lists of `count` `Neighbour`s, the nearest first.
    Raises:
      UserError: there are not so many training images.
    """
    self.check(count)
    similarity = self._of(images) @ self.features.T
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    return [[self._neighbour(i, row[i]) for i in chosen]
            for chosen, row in zip(order, similarity)]

  def prototypes(self, class_index, count=1):
    """The training images that together stand for a class best, its medoids.

    One is the most typical image; two need not be the two most typical ones.

    Args:
      class_index: number of the class.
      count: how many; fewer where the class has fewer images.
    Returns:
      list of `Neighbour`s, the one that stands for most images first.
    """
    own = np.array([i for i, r in enumerate(self.records)
                    if r.label[class_index] > 0], int)[:CANDIDATES]
    similarity = self.features[own] @ self.features[own].T
    return [self._neighbour(own[i], similarity[i].mean())
            for i in medoids.medoids(similarity, count)]

  def _neighbour(self, index, similarity):
    record = self.records[index]
    classes = tuple(self._class_names[c] for c in np.flatnonzero(record.label))
    return Neighbour(record, classes, float(similarity),
                     self._images.batch([record])[0])

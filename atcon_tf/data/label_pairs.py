"""Pairs of labelled images whose labels have something in common.

LaSO learns the intersection, the union and the difference of two sets of
labels. A pair drawn at random rarely shares a label (of twenty classes). So
the second image of a pair is one for which as many of these three sets as
possible are not empty.
"""

import numpy as np
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.data import pipeline

STREAM = 4


def training_batches(images, records, config, stream, start, stop):
  """Batches `start` to `stop` of pairs.

  The first images of batch k are the batch k of a run without pairs. The
  second images are a function of (seed, k).

  Args:
    images: `image_store.Images`.
    records: list of `Record`, the labelled images.
    config: a `Config`; its batch_size is the number of pairs.
    stream: number of the stream of the first images.
    start, stop: number of the first batch, and of the first one left out.
  Returns:
    `tf.data.Dataset` of dicts: "image" and "other_image" `[B, S, S, 3]` in
    [0, 1], "label" and "other_label" `[B, classes]`.
  Raises:
    UserError: no two images share a label.
  """
  among = partners(np.stack([r.label for r in records]))

  def choose(number):
    first = pipeline.order(len(records), config.batch_size, config.seed,
                           stream, number)
    draw = np.random.default_rng([config.seed, STREAM, number]).random(
        len(first))
    return np.array([among[i][int(u * len(among[i]))]
                     for i, u in zip(first.tolist(), draw)])

  first, second = (
      pipeline.training_batches(
          images, records, config.batch_size, config.seed, s, start, stop,
          config.augment, choose=c)
      for s, c in [(stream, None), (STREAM, choose)])
  return tf.data.Dataset.zip(first, second).map(
      lambda batch, other: {
          **batch, **{f"other_{name}": v for name, v in other.items()}})


def partners(label):
  """The images with which each image may be paired.

  Args:
    label: `[N, classes]`, 0 or 1.
  Returns:
    list of N int arrays, none of them empty. Array i holds the other images
    that share a label with image i, or all other images if none does; of
    these, it holds those with the most non-empty differences (labels of image
    i alone, labels of the other image alone).
  Raises:
    UserError: no two images share a label.
  """
  label = np.asarray(label, bool).astype(int)
  shared = label @ label.T > 0
  beyond = label @ (1 - label.T) > 0  # the row has a label the column lacks
  np.fill_diagonal(shared, False)
  if not shared.any():
    raise UserError("objective", "laso",
                    f"no two of the {len(label)} labelled images share a "
                    "label; use more --shots")
  # A shared label counts more than both differences.
  rank = 3 * shared + beyond + beyond.T
  np.fill_diagonal(rank, -1)
  return [np.flatnonzero(row == row.max()) for row in rank]

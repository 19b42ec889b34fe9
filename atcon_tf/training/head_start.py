"""Sets the head of a run to a probe of the frozen features.

    head_start.begin(classifier, data, config, class_prior, ranked=True)

reads the features of the labelled images and, if `ranked`, of the pool, fits a
`probe` on them, and sets the last dense layer to its weights. The same
function fits the head again after the backbone was trained.
"""

import json
import time

import numpy as np
import tensorflow as tf

from atcon_tf.config import defaults
from atcon_tf.config import UserError
from atcon_tf.data import pipeline
from atcon_tf.models.classifier import halves
from atcon_tf.models.feature_norm import FeatureNorm
from atcon_tf.runs import kept_model
from atcon_tf.training import feature_cache
from atcon_tf.training import probe

# The side of a view of "five", as a share of the image's side.
CROP = 7 / 8


def class_prior(config, data):
  """The share of images that shows each class, `[classes]`.

  Args:
    config: a `Config` whose class_prior names a JSON file `{class name:
      share}`; empty: the shares are those in the validation images.
    data: the run's `run_data.RunData`.
  Raises:
    UserError: the file does not give a share in (0, 1) for each class.
  """
  if not config.class_prior:
    return np.mean([r.label for r in data.records["val"]], 0)
  try:
    with open(config.class_prior, encoding="utf-8") as file:
      shares = json.load(file)
    prior = np.array([float(shares[name]) for name in data.class_names])
    wrong = not ((prior > 0) & (prior < 1)).all()
  except (OSError, ValueError, TypeError, KeyError) as error:
    raise UserError("class_prior", config.class_prior,
                    f"{type(error).__name__}: {error}; must be a JSON file "
                    "{class name: share of images}") from error
  if wrong:
    raise UserError("class_prior", config.class_prior,
                    "each share must lie between 0 and 1")
  return prior


def begin(classifier, data, config, prior, ranked, cache="", prefix=None,
          group=None):
  """Fits the head on the features of the network's present weights.

  Args:
    classifier: a `models.Classifier` whose logits come from a dense layer.
    data: the run's `run_data.RunData`.
    config: a `Config` with probe_views and probe_strength.
    prior: `[classes]`, see `class_prior`; needed if `ranked`.
    ranked: whether pseudo-labels of the unlabelled images, by their ranks,
      are part of the fit.
    cache, prefix, group: see `Features`.
  Returns:
    a line that describes the fit, and the logits `[P, classes]` of the P
    unlabelled images; None if not `ranked`.
  Raises:
    UserError: the logits do not come from a dense layer with a bias.
  """
  started = time.time()
  labeled = data.records["train_labeled"]
  pool = data.records["train_unlabeled"] if ranked else []
  reader = Features(classifier, config.probe_views,
                    pipeline.evaluation_size(config.eval_batch_size), cache,
                    prefix, group)
  if reader.dense.bias is None:
    raise UserError("model", classifier.name,
                    f"its last dense layer, {reader.dense.name}, has no bias, "
                    "which a probe needs")
  features = reader(data.images, [*labeled, *pool])
  scale = reader.scale(features)
  features, label = features * scale, np.stack([r.label for r in labeled])
  own, others = features[:len(labeled)], features[len(labeled):]
  strength = config.probe_strength or probe.choose_strength(
      own, label, multi_label=data.multi_label, seed=config.split_seed)
  if ranked:
    fitted = probe.fit_ranked(own, label, others, prior, strength,
                              data.multi_label)
  else:
    fitted = probe.fit(own, label, None, strength, data.multi_label)
  reader.dense.kernel.assign(scale * fitted.coefficients)
  reader.dense.bias.assign(fitted.bias)
  joined = f", {len(pool)} unlabelled ones by their ranks" if ranked else ""
  return (f"probe of {len(labeled)} labelled images{joined}: C {strength:g}, "
          f"{time.time() - started:.0f} s",
          fitted.logits(others) if ranked else None)


# The number of views of each kind.
VIEWS = {"plain": 1, "flip": 2, "five": 5}


def views_of(images, views):
  """The views of images over which a probe averages the features.

  Args:
    images: `[B, H, W, C]`, or clips `[B, T, H, W, C]`.
    views: "plain", the image; "flip", the image and its mirror image; "five",
      its four corners and its middle, each 7/8 of a side and resized.
  Returns:
    list of tensors of the shape of `images`.
  """
  if views == "plain":
    return [images]
  if views == "flip":
    return [images, tf.reverse(images, [len(images.shape) - 2])]
  shape = images.shape[-3:-1]
  height, width = (round(CROP * side) for side in shape)
  down, right = shape[0] - height, shape[1] - width
  corners = [(0, 0), (0, right), (down, 0), (down, right),
             (down // 2, right // 2)]
  flat = tf.reshape(images, [-1, *images.shape[-3:]])
  return [tf.reshape(tf.image.resize(
      flat[:, top:top + height, left:left + width], shape),
                     [-1, *images.shape[1:]]) for top, left in corners]


class Features:
  """Computes the input vectors of the last dense layer of a classifier.

  Attributes:
    dense: the last dense layer.
  """

  def __init__(self, classifier, views, batch_size, cache="", prefix=None,
               group=None):
    """Prepares the features.

    Args:
      classifier: a `models.Classifier` whose logits come from a dense layer.
      views: see `views_of`; the features of an image are the mean over them.
      batch_size: number of images, or frames of clips, at once.
      cache: folder that keeps the features, see `feature_cache`; empty: they
        are not kept.
      prefix: the `FrozenPrefix` of the classifier, which then keeps the
        images' own maps; None: there is none.
      group: the `WorkerGroup` whose processes each compute a part of them;
        None, or features that are kept: this process computes all.
    """
    self._embed, _ = halves(classifier)
    self.dense = classifier.logits._keras_history.operation
    operation = self._embed.output._keras_history.operation
    self._norm = operation if isinstance(operation, FeatureNorm) else None
    self._classifier = classifier
    self._batch_size = classifier.per_batch(batch_size)
    self._views, self._cache, self._group = views, cache, group

    # The prefix knows an image as it is, which "five" does not look at.
    self._prefix = prefix if views != "five" else None
    others = 0 if self._prefix is None else 1
    if others:
      self._rest = prefix.rest(self._embed.output)

    def read(images):
      seen = views_of(classifier.normalize(images), views)[others:]
      return tf.add_n([self._embed(x, training=False) for x in seen])

    self._read = tf.function(read, autograph=False, input_signature=[
        tf.TensorSpec([None, *classifier.image_shape],
                      classifier.maps.input.dtype)])

  def __call__(self, images, records):
    """Features of records, float64 `[N, D]`, their views averaged.

    Args:
      images: `image_store.Images` that holds the records.
      records: list of N `Record`.
    """
    def compute(records):
      dtype, rows = self._classifier.maps.input.dtype, []
      for part, pixels in pipeline.evaluation_batches(images, records,
                                                      self._batch_size):
        total = 0
        if self._prefix is not None:
          total = self._rest(self._prefix.of(images, part)).numpy()
        if self._prefix is None or self._views == "flip":
          total = total + self._read(tf.cast(pixels, dtype)).numpy()
        rows.append(total / VIEWS[self._views])
      return np.concatenate(rows)

    if self._prefix is not None:
      self._prefix.check(images)

    if self._cache:
      features = feature_cache.read(self._cache, self._network(), images,
                                    records, compute)
    elif self._group and len(records) >= self._group.count:
      features = self._group.gather(compute(self._group.part(records)),
                                    len(records))
    else:
      features = compute(records)
    features = features.astype(np.float64)
    if self._norm is None:
      return features
    return probe.unit_length(features, self._norm.length)

  def _network(self):
    """A digest of what the features of an image depend on."""
    graph = [f"{type(layer).__name__} {layer.output.shape}"
             for layer in self._embed.layers]
    name = self._classifier.name
    if defaults.is_file(name):  # settings of its layers are no weights
      graph.append(kept_model.sha256(name))
    return feature_cache.digest(
        self._views, json.dumps(self._classifier.normalize.get_config()),
        *graph, *self._embed.get_weights())

  def scale(self, features):
    """The factor that makes the features' mean length `probe.SCALE`.

    A head of raw features is fitted on scaled features, so that the strength
    of the regularisation has the same effect for every network. The factor is
    1 if a layer of the head scales the features.
    """
    if self._norm is not None:
      return 1.0
    length = np.linalg.norm(features, axis=1).mean()
    return probe.SCALE / length if length else 1.0

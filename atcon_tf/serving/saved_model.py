"""A classifier as a TensorFlow module that explains itself.

    module = ServingModule(classifier, class_names, multi_label)
    module.save(folder)

Decoding, resizing, both backward rules and the overlay are traced into the
graph, so that a client loads it with TensorFlow alone, without Keras and
without this package.
"""

import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution import registry
from atcon_tf.config.names import SERVED as METHODS
from atcon_tf.config import UserError
from atcon_tf.models import explanation_head
from atcon_tf.models import probabilities
from atcon_tf.serving import image_ops

# How far outside [0, 1] a pixel may be: a client's own resize rounds.
SLACK = 1e-3


class ServingModule(tf.Module):
  """The signatures of a served classifier; B, the batch, is free.

  Attributes:
    functions: `{signature: tf.function}`:
      serving_default: images `[B, H, W, 3]` in [0, 1] -> "probabilities",
        "class_names" and "labels" (bool) `[B, classes]`.
      serve_bytes: image_bytes `[B]`, JPEG or PNG of any size -> the same.
      explain: images, class_index int32 `[B]` (-1: the highest
        probability; of exclusive classes the label) -> the same,
        "class_index" `[B]`, and a raw map `[B, H, W]` under the name of each
        method; with `nearest` also "example_ids"
        and "example_similarities" `[B, K]`, the labelled training images
        with the most similar features, and their cosines.
      explain_bytes: image_bytes, class_index -> the same, and
        "overlay_bytes" `[B]`, PNG pictures of the first method's map, with
        the aspect of the pictures.
    Of a classifier of clips, images are `[B, T, H, W, 3]`, image_bytes and
    overlay_bytes `[B, T]`, one picture a frame, and maps `[B, T, H, W]`.
    An empty batch, pixels that are NaN or outside [0, 1], bytes that are no
    picture and classes that do not exist raise InvalidArgumentError.
  """

  def __init__(self, classifier, class_names, multi_label, methods=(),
               resize="squeeze", threshold=None, nearest=None, examples=0):
    """Checks the methods; the functions are traced when they are first used.

    Args:
      classifier: a `models.Classifier`.
      class_names: of the classes.
      multi_label: whether a probability is a sigmoid or a softmax.
      methods: which of `METHODS` explain, in this order; empty: all `usable`
        ones.
      resize: how pictures are fitted to the network: "squeeze", "crop" or
        "pad".
      threshold: of labels; see `probabilities.labels`.
      nearest: a `runs.nearest_images.NearestImages` of the run, whose
        features and ids become a part of the graph; None: there are no
        examples.
      examples: K, how many of them explain an image.
    Raises:
      UserError: a method is unknown, or the network cannot have it.
    """
    super().__init__()
    methods = methods or usable(classifier)
    if [m for m in methods if m not in METHODS]:
      raise UserError("method", methods,
                      f"must be any of {', '.join(METHODS)}")
    self._methods = {name: registry.of_pass(name) for name in methods}
    for name in methods:
      registry.check(classifier, name)
    if classifier.attention:
      self.head_variables = list(classifier.attention.variables)
      classifier = explanation_head.with_features(classifier)
    self._classifier = _Untracked(classifier)
    self._class_names = list(class_names)
    self._multi_label, self._resize = multi_label, resize
    self._threshold = threshold
    self._nearest, self._examples = _Untracked(nearest), examples
    if nearest:
      nearest.check(examples)
    self.model_variables = list(classifier.model.variables)
    images = tf.TensorSpec([None, *classifier.image_shape], tf.float32,
                           "images")
    image_bytes = tf.TensorSpec([None, *classifier.extent[:-2]], tf.string,
                                "image_bytes")
    class_index = tf.TensorSpec([None], tf.int32, "class_index")
    self.functions = {
        "serving_default": _traced(self._classify, images),
        "serve_bytes": _traced(self._classify_bytes, image_bytes),
        "explain": _traced(self._explain, images, class_index),
        "explain_bytes": _traced(self._explain_bytes, image_bytes,
                                 class_index),
    }

  def save(self, folder, metadata=None):
    """Writes a SavedModel.

    Args:
      folder: to write into.
      metadata: path of a file that becomes an asset of it; None: no file.
    """
    if metadata:
      self.metadata = tf.saved_model.Asset(str(metadata))
    # The maps' gradients are in the graph; a served model is not trained.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(self, str(folder), dict(self.functions), options)

  def _classify(self, images):
    classifier = self._classifier.value
    logits = classifier.model(_checked(images, classifier), training=False)
    return self._answer(logits)

  def _answer(self, logits):
    logits = tf.cast(logits, tf.float32)
    probability = probabilities.probability(logits, self._multi_label)
    names = tf.constant(self._class_names)[tf.newaxis]
    return {"probabilities": probability,
            "labels": probabilities.labels(probability, self._multi_label,
                                           self._threshold),
            "class_names": tf.tile(names, [tf.shape(logits)[0], 1])}

  def _classify_bytes(self, image_bytes):
    return self._classify(self._decode(image_bytes)[0])

  def _decode(self, image_bytes):
    classifier = self._classifier.value
    pictures, shapes = image_ops.decode_with_shapes(
        tf.reshape(image_bytes, [-1]), classifier.image_size, self._resize)
    return tf.reshape(pictures, [-1, *classifier.image_shape]), shapes

  def _explain(self, images, class_index):
    classifier = self._classifier.value
    pass_ = forward_pass.forward(classifier, _checked(images, classifier))
    tf.debugging.assert_equal(
        tf.shape(class_index)[0], tf.shape(images)[0],
        "class_index: must be one for each image")
    last = classifier.num_classes - 1
    tf.debugging.Assert(
        tf.reduce_all((class_index >= -1) & (class_index <= last)),
        [f"class_index: must be -1 to {last}, not", class_index])
    answer = self._answer(pass_.logits)
    # Of two exclusive classes a threshold may decide for the less probable.
    best = tf.argmax(pass_.logits if self._multi_label else tf.cast(
        answer["labels"], tf.int32), -1, tf.int32)
    target = tf.where(class_index < 0, best, class_index)
    answer["class_index"] = target
    for name, method in self._methods.items():
      heat = attribution.enlarge(classifier, method(pass_, target))
      answer[name] = tf.cast(heat, tf.float32)
    if self._nearest.value:
      answer |= self._nearest_images(images)
    return answer

  def _nearest_images(self, images):
    """The training images whose features are most like those of images."""
    classifier, nearest = self._classifier.value, self._nearest.value
    features = tf.cast(nearest.model(classifier.normalize(tf.cast(
        images, classifier.maps.input.dtype)), training=False), tf.float32)
    similarity = tf.matmul(tf.math.l2_normalize(features, 1), tf.constant(
        nearest.features, tf.float32), transpose_b=True)
    best, index = tf.math.top_k(similarity, self._examples)
    return {"example_ids": tf.gather(
        tf.constant([r.id for r in nearest.records]), index),
            "example_similarities": best}

  def _explain_bytes(self, image_bytes, class_index):
    images, shapes = self._decode(image_bytes)
    answer = self._explain(images, class_index)
    heat = answer[next(iter(self._methods))]
    return {**answer, "overlay_bytes": image_ops.overlay(
        images, heat, shapes)}


def usable(classifier):
  """Those of `METHODS` that a network can have, in the order of `METHODS`."""
  def fits(name):
    try:
      registry.check(classifier, name)
    except UserError:
      return False
    return True

  return tuple(name for name in METHODS if fits(name))


class _Untracked:
  """Hides a value from tf.Module, which would save all that it tracks."""

  def __init__(self, value):
    self.value = value


def _traced(function, *signature):
  return tf.function(function, input_signature=signature, autograph=False)


def _checked(images, classifier):
  """Images in the classifier's dtype; raises if they are not in [0, 1]."""
  low, high = tf.reduce_min(images), tf.reduce_max(images)
  # NaN compares false with everything; of an empty batch `low` is infinite.
  fine = (low >= -SLACK) & (low <= high) & (high <= 1 + SLACK)
  message = "images: must be at least one, finite and in [0, 1]"
  with tf.control_dependencies([tf.debugging.Assert(fine, [message])]):
    return tf.cast(images, classifier.maps.input.dtype)

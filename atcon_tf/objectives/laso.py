"""Label-set operations on features (LaSO).

Alfassy, Karlinsky, Aides et al., "LaSO: Label-Set Operations networks for
multi-label few-shot learning", CVPR 2019 (arXiv 1902.09811). Three networks
turn the features x, y of two images into features that the classifier C should
classify as an image with the union, the intersection or the difference of
their labels. C is trained together with the networks. CE is the cross-entropy
of C's logits, D the mean squared difference, and each line is summed over both
orders of the pair, (x, y) = (a, b) and (b, a):

    class_embed         CE(x, X)                     X, Y: the sets of labels
    class_union         CE(U(x, y), X or Y) + CE(U(U(x, y), y), X or Y)
    class_intersection  CE(I(x, y), X and Y) + CE(I(I(x, y), y), X and Y)
    class_subtraction   CE of S(x, y), S(S(x, y), y), S(x, I(x, y)) and
                        S(x, I(y, x)), X without Y
    class_fake          CE(x', X),     x' = U(S(x, I(y, x)), I(x, y))
    recon_fake          D(x, x')
    recon_subtraction   D of S(x, y) and each of the three others
    recon_union         D(U(a, b), U(b, a)), once for a pair
    recon_intersection  D(I(a, b), I(b, a)), once for a pair

The two terms of the subtraction are optional and off by default; S is then
trained only through x'. The paper has them, at weight 1. A network is
M(x, y) = tanh(W3 f2(f1([x, y]))), f a dense layer, BatchNorm and a leaky ReLU
of slope 0.2. Only the classifier is evaluated.

The objective is first-order and uses only labelled images. It replaces the
supervised objective, whose loss is the term class_embed.
"""

import dataclasses

import keras
import tensorflow as tf

from atcon_tf.config.objective_settings.laso_settings import Laso as Settings
from atcon_tf.models.classifier import halves
from atcon_tf.objectives import base
from atcon_tf.objectives import supervised

SLOPE = 0.2
OPERATIONS = ("subtract", "intersect", "unite")
# The terms and their default weights.
WEIGHTS = {field.name.removesuffix("_weight"): field.default
           for field in dataclasses.fields(Settings)
           if field.name.endswith("_weight")}


class Laso(base.Objective):
  """The terms at the top of the file, with a value for each pair.

  Its batches are pairs: "image" and "label", "other_image" and "other_label".
  Labels are 0 or 1, and an image can have several.

      laso = Laso(classifier, class_subtraction=1.0)
      terms = laso.call(batch)
  """

  paired = True

  def __init__(self, classifier, units=Settings.set_units, **weights):
    """Prepares the loss, and makes the three networks.

    Args:
      classifier: a `models.Classifier` whose logits come from a dense layer.
        The input of this layer is the feature vector of the networks.
      units: number of units of both hidden layers of each network.
      **weights: factors of terms in the loss; missing ones are those of
        `WEIGHTS`.
    Raises:
      UserError: the logits do not come from a dense layer.
    """
    super().__init__(classifier, **{**WEIGHTS, **weights})
    self.embed, self.head = halves(classifier)
    self.networks = {name: network(self.embed.output.shape[-1], units, name)
                     for name in OPERATIONS}
    for model in self.networks.values():
      self.variables += model.trainable_variables
      self.state += model.non_trainable_variables

  @classmethod
  def from_config(cls, classifier, config, task, twin=None):
    del task, twin
    return cls(classifier, config.set_units, **{
        name: getattr(config, f"{name}_weight") for name in WEIGHTS})

  def call(self, batch, training=False):
    images = tf.concat([batch["image"], batch["other_image"]], 0)
    x = self.embed(self.classifier.normalize(images), training=training)
    vectors = self.operate(x, training)
    # The head classifies all vectors in one call.
    names = ("x", *vectors)
    logits = self.head(tf.concat([x, *vectors.values()], 0),
                       training=training)
    logits = dict(zip(names, tf.split(logits, len(names))))
    label = tf.cast(tf.concat([batch["label"], batch["other_label"]], 0),
                    logits["x"].dtype)
    values = _terms({"x": x, **vectors}, logits, label)
    return {name: (value, tf.ones_like(value))
            for name, value in values.items()}

  def operate(self, x, training=False):
    """Applies the networks to pairs of feature vectors.

    Args:
      x: `[2 B, features]`, the first images of B pairs, then the second ones.
      training: whether BatchNorm uses batch statistics.
    Returns:
      dict of `[2 B, features]` in [-1, 1]; y is the other image of the pair.
      "x_S_y": the subtraction S(x, y); "x_S_y_y": S(S(x, y), y); "x_S_y_I_x":
      S(x, I(y, x)); "x_I_y", "x_U_y", ...: likewise; "fake_x": x'.
    """
    def network_of(name):
      return lambda *pair: self.networks[name](
          tf.concat(pair, -1), training=training)

    subtract, intersect, unite = map(network_of, OPERATIONS)
    y = _swap(x)
    s, i, u = subtract(x, y), intersect(x, y), unite(x, y)
    rest = subtract(x, _swap(i))
    return {"x_S_y": s, "x_S_y_y": subtract(s, y),
            "x_S_x_I_y": subtract(x, i), "x_S_y_I_x": rest,
            "x_I_y": i, "x_I_y_y": intersect(i, y),
            "x_U_y": u, "x_U_y_y": unite(u, y), "fake_x": unite(rest, i)}


def _terms(vectors, logits, label):
  """The terms of each pair, `{name: [B]}`; see the top of the file."""
  other = _swap(label)
  targets = {"S": label * (1 - other), "I": label * other,
             "U": tf.maximum(label, other)}

  def entropy(target, *names):
    return _sum_over_pair(tf.add_n([
        supervised.cross_entropy(target, logits[n], True) for n in names]))

  def distance(first, *others):
    return tf.add_n([tf.reduce_mean(tf.square(first - vectors[n]), -1)
                     for n in others])

  def asymmetry(name):
    return tf.split(distance(_swap(vectors[name]), name), 2)[0]

  s = ("x_S_y", "x_S_y_y", "x_S_x_I_y", "x_S_y_I_x")
  return {
      "class_embed": entropy(label, "x"),
      "class_fake": entropy(label, "fake_x"),
      "class_union": entropy(targets["U"], "x_U_y", "x_U_y_y"),
      "class_intersection": entropy(targets["I"], "x_I_y", "x_I_y_y"),
      "class_subtraction": entropy(targets["S"], *s),
      "recon_fake": _sum_over_pair(distance(vectors["x"], "fake_x")),
      "recon_union": asymmetry("x_U_y"),
      "recon_intersection": asymmetry("x_I_y"),
      "recon_subtraction": _sum_over_pair(distance(vectors[s[0]], *s[1:])),
  }


def _swap(x):
  """The other image of each pair."""
  return tf.roll(x, tf.shape(x)[0] // 2, 0)


def _sum_over_pair(value):
  return tf.add_n(tf.split(value, 2))


def network(features, units, name):
  """One set operation, `[B, 2 features] -> [B, features]` in [-1, 1]."""
  x = pair = keras.Input([2 * features])
  for number in (1, 2):
    x = keras.layers.Dense(units, name=f"dense{number}")(x)
    x = keras.layers.BatchNormalization(epsilon=1e-5, name=f"bn{number}")(x)
    # Not LeakyReLU: TensorFlow's keeps the slope in float32.
    x = keras.ops.maximum(x, SLOPE * x)
  x = keras.layers.Dense(features, activation="tanh", name="dense3")(x)
  return keras.Model(pair, x, name=name)

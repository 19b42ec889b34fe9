"""The classifier that a config describes."""

import dataclasses

from atcon_tf.config import defaults
from atcon_tf.config.settings import HEADS
from atcon_tf import models
from atcon_tf.models import explanation_head
from atcon_tf.models import user_model


def build_classifier(config, num_classes, multi_label, prior=None,
                     trained=False):
  """Builds the classifier that a config describes.

  Args:
    config: a resolved `Config`.
    num_classes: number of logits.
    multi_label: whether an image can have several labels.
    prior: `[classes]`, the share of images that show each class, from which
      the bias of a new head starts; None: the bias starts at 0.
    trained: whether trained weights will be loaded, so that the first weights
      need not be read.
  Returns:
    a `models.Classifier`, with a head if the objective trains one.
  """
  built = models.build(
      config.model, num_classes, "none" if trained else config.weights,
      image_size=config.image_size, width=config.width, prior=prior,
      multi_label=multi_label, cam_layer=config.cam_layer,
      reflect_padding=config.reflect_padding,
      input_range=config.input_range, head=config.head or "linear",
      feature_layer=config.feature_layer, frames=config.frames)
  built.temporal_weights = config.temporal_weights
  if config.objective not in HEADS:
    return built
  version = "l_cam" if config.objective == "l_cam" else config.tame_version
  return explanation_head.attach(built, version, config.feature_layers)


def of_file(config):
  """The config with what its model's file says.

  That is the size of its images and the range of their pixels.

  Raises:
    UserError: the file contradicts the config.
  """
  if not defaults.is_file(config.model):
    return config
  size, input_range = user_model.facts(config.model, config.image_size,
                                       config.input_range, config.frames)
  return dataclasses.replace(config, image_size=size, input_range=input_range)


def say_what_was_found(classifier, model="", class_names=()):
  """Prints what was found in a user's model, or is left out of it, once.

  Args:
    classifier: a `models.Classifier`.
    model: the value of --model; empty: no file.
    class_names: of the data.
  """
  notes, losses = list(classifier.notes), classifier.network.losses
  if defaults.is_file(model) and not classifier.head_variables:
    more = ", ..." if len(class_names) > 8 else ""
    notes.append(f"the outputs of {classifier.name} are taken for "
                 f"{', '.join(class_names[:8])}{more}, in this order")
  if losses:
    notes.append(f"{classifier.name} has {len(losses)} regularisation terms, "
                 "which are not part of the loss")
  for note in notes:
    print(f"note: {note}", flush=True)

"""The settings of every run: what is trained, on what, how, and how judged.

A field is a flag. It carries its default, its help line, what it allows
(`choices`, `minimum`, `maximum`) and what it goes with (`needs`): a flag that
the chosen objective, data set or model does not use is refused, so that
nobody believes an option was at work when it was not. `config.Config` puts
the fields of this file and of `objective_settings` together.
"""

import dataclasses

from atcon_tf.config import defaults
from atcon_tf.config.fields import AUGMENTATIONS
from atcon_tf.config.fields import flag
from atcon_tf.config.objective_settings import registry
from atcon_tf.config.objective_settings.registry import HEADS
from atcon_tf.config.objective_settings.registry import TRAINED
from atcon_tf.config.objective_settings.registry import UNLABELED

OBJECTIVES = tuple(registry.OBJECTIVES)
MODELS = tuple(defaults.NETWORKS)
DATASETS = ("voc", "folder", "image_list", "binary_masks", "shapes")

# Data sets made of files, and of lists of them.
FILES = {"dataset": ("voc", "folder", "image_list", "binary_masks")}
LISTS = {"dataset": ("image_list",)}

# Data that can have two classes of which each image shows one: the second is
# the positive one.
TWO_CLASSES = {"dataset": ("binary_masks", "folder", "image_list")}

# Which runs have labelled batches, and where the supervised optimisers and
# the consistency optimiser are at work.
STEPS = {"objective": TRAINED}
LABELED = {**STEPS, "schedule": ("", "alternating", "combined")}
SUPERVISED = {**LABELED,
              "objective": tuple(o for o in TRAINED if o not in HEADS)}
CONSISTENCY = {"objective": UNLABELED,
               "schedule": ("alternating", "consistency")}


def positives(share, batch_size):
  """How many of a batch are positive, for `--batch_positive_share`."""
  return round(share * batch_size)


@dataclasses.dataclass(frozen=True)
class Data:
  """What is trained, on which images; the few-shot split."""

  objective: str = flag(
      "", "what is optimised; default: atcon for a network from scratch, "
      "self_training (with ATCON's term) for a pretrained one",
      choices=OBJECTIVES)
  dataset: str = flag("shapes", "where the images are from",
                      choices=DATASETS)
  data_dir: str = flag("", "folder of the data set", needs=FILES)
  train_list: str = flag(
      "", "text file of 'path label' lines, paths below --data_dir, labels "
      "names or numbers from 0; default: the class folders of train/",
      needs=LISTS)
  val_list: str = flag(
      "", "the same of the validation images; without --test_list they are "
      "the test set, and a fifth of the training images takes their place",
      needs=LISTS)
  test_list: str = flag("", "the same of the test images", needs=LISTS)
  class_list: str = flag(
      "", "text file with a class name a line, in the order of the labels' "
      "numbers; default: from the training labels", needs=LISTS)
  voc_year: int = flag(2007, "which VOC", choices=(2007, 2012),
                       needs={"dataset": ("voc",)})
  keep_difficult: bool = flag(
      False, "count objects marked difficult", needs={"dataset": ("voc",)})
  classes: tuple[str, ...] = flag(
      (), "only these classes (default: all)",
      needs={"dataset": ("voc", "folder", "image_list", "shapes")})
  max_bad_images: int = flag(
      0, "skip up to this many images that do not decode", minimum=0,
      needs=FILES)

  # The few-shot split.
  shots: int = flag(8, "labelled images per class; 0: all training images",
                    minimum=0)
  unlabeled: str = flag(
      "all", "the unlabelled pool: all other training images, this many of "
      "them, or 'labeled' (the labelled images once more, with their labels "
      "where the objective uses them); see --unlabeled_dir")
  unlabeled_dir: str = flag(
      "", "folder with images that have no labels, in it or anywhere below: "
      "they are in the unlabelled pool, too", needs={"objective": UNLABELED})
  single_label_only: bool = flag(
      False, "draw labelled images from those with one label only")
  random_labels: bool = flag(
      False, "give the labelled images each other's labels at random: the "
      "control of `evaluate --metrics=sanity`", needs=SUPERVISED)
  seed: int = flag(0, "of weights, order and augmentation", minimum=0,
                   maximum=2**32 - 1)
  split_seed: int = flag(-1, "of the few-shot split (default: --seed)",
                         minimum=-1)
  splits: str = flag("", "reuse the image ids of this splits.json instead "
                     "of drawing shots")


@dataclasses.dataclass(frozen=True)
class Model:
  """The network."""

  model: str = flag(
      "", "a backbone's name (%s) or a .keras file; default: tiny_cnn for "
      "shapes, mobilenet_v2 otherwise" % ", ".join(MODELS))
  width: float = flag(1.0, "width multiplier (alpha)", minimum=0.1,
                      maximum=2.0,
                      needs={"model": ("mobilenet", "mobilenet_v2")})
  weights: str = flag(
      "", "imagenet, none, or a weights file; default: imagenet, but none "
      "for tiny_cnn")
  image_size: int = flag(0, "side of the square input in pixels; default: "
                         "by the model", minimum=0, maximum=4096)
  input_range: str = flag(
      "0..1", "what a .keras model expects its images to be",
      choices=("0..1", "-1..1", "0..255", "imagenet", "caffe"))
  cam_layer: tuple[str, ...] = flag(
      (), "layer whose output carries the class activation map; default: "
      "the last one with a spatial extent")
  reflect_padding: bool = flag(
      False, "the backbone's convolutions pad by reflection")
  warm_start: str = flag(
      "", "start from the weights of this run or checkpoint; the classifier "
      "that %s explain" % " and ".join(HEADS))


@dataclasses.dataclass(frozen=True)
class Training:
  """Steps, batches and rates."""

  schedule: str = flag(
      "", "alternating: a step is supervised or consistency; combined: every "
      "step is both; consistency: no supervised step; default: alternating, "
      "but combined for self_training",
      choices=("alternating", "combined", "consistency"),
      needs={"objective": UNLABELED})
  alpha: float = flag(
      0.0, "a step is supervised with probability a*S/(a*S+U), S and U the "
      "numbers of labelled and unlabelled images; 0: use "
      "--supervised_share", minimum=0.0,
      needs={"objective": UNLABELED, "schedule": ("alternating",)})
  supervised_share: float = flag(
      0.2, "probability that a step is supervised", minimum=0.01,
      maximum=1.0,
      needs={"objective": UNLABELED, "schedule": ("alternating",)})
  consistency_weight: float = flag(
      1.0, "weight of the term on unlabelled images beside the supervised "
      "one", minimum=0.0,
      needs={"objective": UNLABELED, "schedule": ("combined",)})
  steps: int = flag(
      0, "supervised updates (with --schedule=consistency: consistency "
      "updates); default: by the model and the objective", minimum=0,
      needs=STEPS)
  batch_size: int = flag(8, "labelled images in a step", minimum=1,
                         needs=LABELED)
  batch_positive_share: float = flag(
      0.0, "share of the positives, the second of two classes, in each batch "
      "of labelled images; 0: as they come", minimum=0.0, maximum=1.0,
      needs={**TWO_CLASSES, **LABELED})
  unlabeled_batch_size: int = flag(
      8, "unlabelled images in a step", minimum=1,
      needs={"objective": UNLABELED})
  learning_rate: float = flag(0.0, "Adam, backbone; default: by the model",
                              minimum=0.0, needs=SUPERVISED)
  head_learning_rate: float = flag(
      0.0, "Adam, new layers; default: by the model", minimum=0.0,
      needs=SUPERVISED)
  consistency_learning_rate: float = flag(
      0.0, "Adam, consistency steps; default: by the model", minimum=0.0,
      needs=CONSISTENCY)
  batch_norm: str = flag(
      "freeze", "train: supervised steps use and update batch statistics",
      choices=("freeze", "train"), needs=SUPERVISED)
  augment: tuple[str, ...] = flag(
      ("crop", "flip"), "of training images: any of %s; empty for none"
      % ", ".join(AUGMENTATIONS), needs=STEPS)
  trained_layers: str = flag(
      "", "layers of the backbone that are trained: all, or last_stage, those "
      "at the resolution of the last map; default: last_stage for "
      "self_training from a ranked probe, else all",
      choices=("all", "last_stage"), needs=SUPERVISED)
  eval_every: int = flag(10, "supervised updates between validations",
                         minimum=1, needs=STEPS)
  checkpoint_every: int = flag(
      10, "supervised updates between checkpoints", minimum=1, needs=STEPS)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What is measured and shown."""

  eval_batch_size: int = flag(32, "images at once in evaluation", minimum=1)
  bootstrap: int = flag(
      500, "resamples behind the 90 % intervals; 0 for none", minimum=0)
  evaluate_first: bool = flag(
      False, "score and show the validation images before training, too")
  false_alarm_rates: tuple[str, ...] = flag(
      ("0.001", "0.01", "0.1"), "sensitivity to the second of two classes is "
      "told at these rates of false alarms", needs=TWO_CLASSES)
  summary_images: int = flag(
      8, "validation images shown in TensorBoard and figures", minimum=0)
  xla: str = flag(
      "auto", "compile first-order attribution; auto: on accelerators only",
      choices=("auto", "on", "off"))

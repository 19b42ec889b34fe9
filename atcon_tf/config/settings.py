"""The settings of every run: data, model, training and evaluation.

A field is a flag. It has a default, a help line, allowed values (`choices`,
`minimum`, `maximum`) and the values of other settings with which it has an
effect (`needs`). A flag that the chosen objective, data set or model does not
use is refused, so that no setting is ignored in silence. `config.Config`
joins the fields of this file and of `objective_settings`.
"""

import dataclasses

from atcon_tf.config.clip_settings import CLIPS
from atcon_tf.config import defaults
from atcon_tf.config.fields import AUGMENTATIONS
from atcon_tf.config.fields import flag
from atcon_tf.config.objective_settings import registry
from atcon_tf.config.objective_settings.registry import HEADS
from atcon_tf.config.objective_settings.registry import TRAINED
from atcon_tf.config.objective_settings.registry import UNLABELED

OBJECTIVES = tuple(registry.OBJECTIVES)
MODELS = tuple(defaults.NETWORKS)
# The networks of clips; one of images is run over the frames of clips.
THREE_D = tuple(n for n, one in defaults.NETWORKS.items() if one.clips)
# The data sets of TensorFlow Datasets; NAME stands for a name there.
TFDS = "tfds:NAME"
DATASETS = ("voc", "folder", "image_list", "binary_masks", "csv", "coco",
            "label_studio", "cvat", "svhn", TFDS, "prepared", "video", "shapes",
            "moving_shapes")

RESIZES = ("squeeze", "crop", "pad")

# The data sets that are drawn, those that read files, those that `prepare` did
# not store, and the one that reads lists of files.
DRAWN = ("shapes", "moving_shapes")
FILES = {"dataset": tuple(d for d in DATASETS if d not in DRAWN)}
RAW = {"dataset": tuple(d for d in DATASETS if d != "prepared")}
LISTS = {"dataset": ("image_list",)}
TABLE = {"dataset": ("csv", "video")}
COCO = {"dataset": ("coco",)}
ANNOTATED = {"dataset": ("coco", "label_studio", "cvat")}

# The data sets that can have two classes, one of which each image shows. The
# second class is the positive one.
TWO_CLASSES = {"dataset": ("binary_masks", "folder", "image_list", "csv",
                           "label_studio", "cvat", "svhn", TFDS, "prepared",
                           "video")}

# What --operating_point can ask for.
GOALS = ("sensitivity", "precision")

# The runs with labelled batches, with supervised and consistency optimisers.
STEPS = {"objective": TRAINED}
LABELED = {**STEPS, "schedule": ("", "alternating", "combined")}
FINE_TUNED = {"objective": tuple(o for o in TRAINED if o not in HEADS)}
SUPERVISED = {**LABELED, **FINE_TUNED}
# The runs whose labelled images have the plain supervised loss.
CROSS_ENTROPY = {**LABELED, "objective": ("supervised", *UNLABELED)}
CONSISTENCY = {"objective": UNLABELED,
               "schedule": ("alternating", "consistency")}


def source(dataset):
  """The one of `DATASETS` that a value of `Data.dataset` means."""
  return TFDS if dataset.startswith("tfds:") else dataset


def positives(share, batch_size):
  """The number of positives in a batch, for `--batch_positive_share`."""
  return round(share * batch_size)


@dataclasses.dataclass(frozen=True)
class Data:
  """What is trained, on which images; the few-shot split."""

  objective: str = flag(
      "", "the loss of the run; default: atcon for a network from scratch, "
      "self_training for a pretrained one", choices=OBJECTIVES)
  dataset: str = flag("shapes", "source of the images", choices=DATASETS)
  data_dir: str = flag("", "folder of the data set", needs=FILES)
  train_list: str = flag(
      "", "text file of the training images, a 'path label' a line: a path "
      "below --data_dir and a class name or a number from 0; default: the "
      "class folders of train/", needs=LISTS)
  val_list: str = flag(
      "", "text file of the validation images, as --train_list; without "
      "--test_list these images are the test set, and a fifth of the training "
      "images is the validation set", needs=LISTS)
  test_list: str = flag("", "text file of the test images, as --train_list",
                        needs=LISTS)
  class_list: str = flag(
      "", "text file with a class name a line, in the order of the labels' "
      "numbers; default: the names or numbers in the training labels",
      needs=LISTS)
  table: str = flag(
      "", "CSV, TSV or JSON Lines file with a row for each image or box, or a "
      "folder of metadata.csv, metadata.jsonl or _classes.csv; see "
      "docs/data.md", needs=TABLE)
  annotations: str = flag(
      "", "file of annotations: JSON in COCO's format (of the training images, "
      "or of all if there are no other annotations), the JSON export of Label "
      "Studio, or the XML of CVAT", needs=ANNOTATED)
  val_annotations: str = flag(
      "", "JSON file of the validation images, as --annotations; without "
      "--test_annotations these images are the test set, and a fifth of the "
      "training images is the validation set", needs=COCO)
  test_annotations: str = flag(
      "", "JSON file of the test images, as --annotations", needs=COCO)
  svhn_extra: bool = flag(
      False, "the images of SVHN's extra set join the unlabelled pool",
      needs={"dataset": ("svhn",)})
  tfds_splits: tuple[str, ...] = flag(
      (), "splits of TFDS for training, validation and test, as in "
      "'train[:80%],train[80%:],test'; default: those of these names",
      needs={"dataset": (TFDS,)})
  no_download: bool = flag(
      False, "refuse a data set of TFDS that is not on the disk, without a "
      "look at the network", needs={"dataset": ("svhn", TFDS)})
  group_column: str = flag(
      "", "column of --table that names the group of an image; train, "
      "validation and test share no group; default: the column group, if "
      "there is one", needs=TABLE)
  group_pattern: str = flag(
      "", "regular expression that finds the group in the path of an image "
      "(its first parentheses, or all that it matches), as in "
      "'^(patient_\\d+)/'; train, validation and test share no group",
      needs={"dataset": tuple(d for d in FILES["dataset"] if d in RAW["dataset"]
                              )})
  voc_year: int = flag(2007, "year of the VOC data", choices=(2007, 2012),
                       needs={"dataset": ("voc",)})
  keep_difficult: bool = flag(
      False, "count objects that VOC marks as difficult, both as labels and "
      "as boxes", needs={"dataset": ("voc",)})
  classes: tuple[str, ...] = flag(
      (), "names of the classes to use; default: all",
      needs={"dataset": tuple(d for d in RAW["dataset"]
                              if d != "binary_masks")})
  max_bad_images: int = flag(
      0, "number of images that may fail to decode; they are skipped, and one "
      "more is an error", minimum=0, needs=FILES)
  cache: str = flag(
      "memory", "where decoded images are kept: memory (above 4 GB in a "
      "temporary file); disk, in --cache_dir, from which the next run on these "
      "files reads them; none, each use decodes again",
      choices=("memory", "disk", "none"), needs={"dataset": tuple(
          d for d in DATASETS if d not in CLIPS["dataset"])})
  cache_dir: str = flag("W/images", "folder of decoded images",
                        needs={"cache": ("disk",)})

  # The few-shot split.
  shots: int = flag(8, "labelled images per class; 0: all training images",
                    minimum=0)
  unlabeled: str = flag(
      "all", "the unlabelled pool: 'all' other training images, a number of "
      "them, or 'labeled', which takes the labelled images again, with their "
      "labels if the objective uses labels; --unlabeled_dir adds images")
  unlabeled_dir: str = flag(
      "", "folder with images without labels, in it or anywhere below; they "
      "join the unlabelled pool",
      needs={"objective": (*UNLABELED, "ranked_probe"), **RAW})
  single_label_only: bool = flag(
      False, "draw labelled images only from those with one label")
  random_labels: bool = flag(
      False, "shuffle the labels among the labelled images: the control of "
      "`evaluate --metrics=sanity`", needs=SUPERVISED)
  seed: int = flag(0, "seed of the weights, the order of the images and the "
                   "augmentation", minimum=0, maximum=2**32 - 1)
  split_seed: int = flag(-1, "seed of the few-shot split; default: --seed",
                         minimum=-1)
  splits: str = flag("", "splits.json whose image ids the run uses, instead "
                     "of drawing --shots")


@dataclasses.dataclass(frozen=True)
class Model:
  """The network."""

  model: str = flag(
      "", "a backbone's name (%s), or a .keras or .h5 file; default: tiny_cnn "
      "for shapes, mobilenet_v2 otherwise" % ", ".join(MODELS))
  width: float = flag(1.0, "width multiplier of the backbone (alpha)",
                      minimum=0.1, maximum=2.0,
                      needs={"model": ("mobilenet", "mobilenet_v2", *THREE_D)})
  weights: str = flag(
      "", "weights to start from: imagenet, none, or a weights file; "
      "default: imagenet, but none for tiny_cnn and for networks of clips, "
      "which also take a .pth file of torchvision's weights")
  image_size: int | str = flag(
      0, "side of the square input in pixels, from 16 to 4096, or "
      "HEIGHTxWIDTH; default: by the model")
  resize: str = flag(
      "squeeze", "how an image gets the shape of the input. squeeze: its "
      "aspect ratio is not kept; crop: the largest part in its middle; pad: "
      "the whole image between black margins", choices=RESIZES, needs=FILES)
  input_range: str = flag(
      "auto", "range of the pixel values that the model in a file expects; "
      "auto: that of the preprocessing with which it begins, or 0..1 if it "
      "begins with none",
      choices=("auto", "0..1", "-1..1", "0..255", "imagenet", "kinetics",
               "caffe"))
  cam_layer: tuple[str, ...] = flag(
      (), "layer whose output gives the class activation map; default: the "
      "last layer with a spatial extent")
  feature_layer: str = flag(
      "", "layer, with a map or a vector, whose output a new head reads; what "
      "comes after it is left out, the head of a model in a file too; "
      "default: the last layer with a spatial extent")
  reflect_padding: bool = flag(
      False, "pad the backbone's convolutions by reflection, not by zeros; "
      "those of a network of clips by repeating the edge")
  warm_start: str = flag(
      "", "folder of a run, or weights file, whose weights the run starts "
      "from; the settings of a run's network (model, width, image size, "
      "layers) apply here as well; %s explain this classifier" %
      " and ".join(HEADS))


@dataclasses.dataclass(frozen=True)
class Training:
  """Steps, batches and rates."""

  schedule: str = flag(
      "", "alternating: each step is supervised or consistency; combined: "
      "each step is both; consistency: each step is consistency; default: "
      "alternating, but combined for self_training and agree",
      choices=("alternating", "combined", "consistency"),
      needs={"objective": UNLABELED})
  alpha: float = flag(
      0.0, "a: a step is supervised with probability a*S/(a*S+U), where S "
      "and U are the numbers of labelled and unlabelled images; 0: "
      "--supervised_share is the probability", minimum=0.0,
      needs={"objective": UNLABELED, "schedule": ("alternating",)})
  supervised_share: float = flag(
      0.2, "probability that a step is supervised", minimum=0.01,
      maximum=1.0,
      needs={"objective": UNLABELED, "schedule": ("alternating",)})
  consistency_weight: float = flag(
      1.0, "weight of the loss on unlabelled images; the supervised loss has "
      "weight 1", minimum=0.0,
      needs={"objective": UNLABELED, "schedule": ("combined",)})
  steps: int = flag(
      0, "number of supervised updates, or of those on unlabelled images with "
      "--schedule=consistency; default: by the model and the objective",
      minimum=0,
      needs=STEPS)
  batch_size: int = flag(8, "labelled images in a step", minimum=1,
                         needs=LABELED)
  batch_positive_share: float = flag(
      0.0, "share of positives (images of the second of two classes) in each "
      "batch of labelled images; 0: batches are not balanced", minimum=0.0,
      maximum=1.0, needs={**TWO_CLASSES, **LABELED})
  class_weights: str = flag(
      "none", "balanced: in the supervised loss each class counts as much as "
      "any other, however many labelled images show it", choices=(
          "none", "balanced"), needs=CROSS_ENTROPY)
  unlabeled_batch_size: int = flag(
      8, "unlabelled images in a step; default: by the objective and the "
      "start", minimum=1,
      needs={"objective": UNLABELED})
  learning_rate: float = flag(
      0.0, "rate of Adam for the backbone; default: by the model and the "
      "objective", minimum=0.0, needs=SUPERVISED)
  head_learning_rate: float = flag(
      0.0, "rate of Adam for new layers; default: by the model and the "
      "start", minimum=0.0, needs=SUPERVISED)
  consistency_learning_rate: float = flag(
      0.0, "rate of Adam in consistency steps; default: by the model",
      minimum=0.0, needs=CONSISTENCY)
  precision: str = flag(
      "float32", "in which the convolutions compute while the network is "
      "trained, validated and ranks the pool; maps, losses, weights, the "
      "probe and the last scores are float32",
      choices=("float32", "mixed_bfloat16", "mixed_float16"),
      needs=FINE_TUNED)
  batch_norm: str = flag(
      "freeze", "train: supervised steps use and update batch statistics; "
      "freeze: every step uses the moving statistics",
      choices=("freeze", "train"), needs=SUPERVISED)
  augment: tuple[str, ...] = flag(
      ("crop", "flip"), "random changes of training images: any of %s; "
      "empty: none" % ", ".join(AUGMENTATIONS), needs=STEPS)
  trained_layers: str = flag(
      "", "layers of the backbone that are trained: all; or last_stage, the "
      "layers at the resolution of the last map; default: last_stage for "
      "self_training and agree with --start=ranked_probe, else all",
      choices=("all", "last_stage"), needs=SUPERVISED)
  eval_every: int = flag(
      10, "supervised updates between validations; default: by the objective "
      "and the start", minimum=1, needs=STEPS)
  patience: int = flag(
      0, "validations without better weights after which training stops; 0: "
      "all --steps are taken", minimum=0, needs=STEPS)
  keep: str = flag(
      "best", "which weights the run keeps: best, those of the highest "
      "validation mAP (of equal ones the lower loss, then the later); last; "
      "average, the mean of the weights after each of the last quarter of the "
      "updates, for validation images too few to choose by; with "
      "--random_labels always last", choices=("best", "last", "average"),
      needs=STEPS)
  checkpoint_every: int = flag(
      10, "supervised updates between checkpoints", minimum=1, needs=STEPS)


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What is measured and shown."""

  eval_batch_size: int = flag(
      0, "images at once in evaluation; auto or 0: 32 on a CPU, 256 on a GPU",
      minimum=0, zero="auto")
  test_consistency: bool = flag(
      True, "measure how much the maps of the test images agree, which takes "
      "three quarters of the time of their scores")
  bootstrap: int = flag(
      500, "resamples for the 90 % intervals; 0: no intervals", minimum=0)
  evaluate_first: bool = flag(
      False, "also score and show the validation images before training")
  false_alarm_rates: tuple[str, ...] = flag(
      ("0.001", "0.01", "0.1"), "rates of false alarms at which the "
      "sensitivity to the second of two classes is reported",
      needs=TWO_CLASSES)
  operating_point: str = flag(
      "", "of two classes, the second of which is positive: sensitivity:0.95 "
      "or precision:0.9, chosen on the validation images; scores, `predict` "
      "and the served model then decide by its threshold; default: 0.5, the "
      "more probable class", needs=TWO_CLASSES)
  summary_images: int = flag(
      8, "number of validation images shown in TensorBoard and figures",
      minimum=0)
  xla: str = flag(
      "auto", "what XLA compiles. on: Grad-CAM of the evaluation; auto: the "
      "same, where a GPU and very many images repay it; steps: Grad-CAM and "
      "the training steps of supervised and atcon, in minutes; off: nothing",
      choices=("auto", "on", "off", "steps"))
  tf32: str = flag(
      "on", "float32 products on a GPU with the 10 bits of TensorFloat-32, "
      "as TensorFlow has it by default; off: with all 23 bits",
      choices=("on", "off"))

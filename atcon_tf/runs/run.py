"""Loads a trained run, or the classifier that a command line names."""

import collections
import dataclasses
import json
import os
import pathlib

from atcon_tf.config import Config
from atcon_tf.config import defaults
from atcon_tf.config import local_paths
from atcon_tf.config import UserError
from atcon_tf.data import registry
from atcon_tf.data import splits
from atcon_tf import models
from atcon_tf.models import backbones
from atcon_tf.models.build import stock
from atcon_tf.runs import kept_model
from atcon_tf.runs import picture_labels
from atcon_tf.runs import run_classifier
from atcon_tf.runs import run_folder


def load_classifier(workdir="", model="", class_names=(), input_range="auto",
                    image_size=0, multi_label=False, weights="imagenet"):
  """The classifier of a run, of a model's file, or of a stock Keras model.

  Args:
    workdir: folder of a run; empty: `model` must be given.
    model: a .keras or .h5 file, or the name of a stock Keras model with its
      1000 ImageNet classes; empty: `workdir` must be given.
    class_names: class names of `model`; empty: the classes' numbers. A
      repeated name gets a number. Two names of a model with one output are
      those of the negative and the positive class.
    input_range, image_size: range of pixel values and size of a file's model.
    multi_label: whether an image can show several classes of a file's model.
      It always can if the model ends in sigmoids, but for a single sigmoid
      without this argument: that is a choice between two classes.
    weights: weights of a stock model: "imagenet", "none" or a file.
  Returns:
    `(classifier, class_names, multi_label)`.
  Raises:
    UserError: both or none of `workdir` and `model` are given, or what they
      name cannot be loaded.
  """
  if bool(workdir) == bool(model):
    raise UserError("workdir", None,
                    "give either --workdir=RUN or --model=FILE.keras")
  if workdir:
    run = load(workdir)
    return run.classifier, run.class_names, run.multi_label
  if defaults.is_file(model) or os.path.isdir(model):
    binary = False if multi_label or len(class_names) == 1 else (
        True if len(class_names) == 2 else None)
    classifier = models.load(model, input_range, image_size, binary=binary)
    for note in classifier.notes:
      print(f"note: {note}", flush=True)
    multi_label = multi_label or (
        classifier.graph.left_out == "sigmoid" and not classifier.binary)
    if classifier.num_classes == 1 and not multi_label:
      raise UserError("model", model,
                      "has one output, which is no choice between classes; if "
                      "the output is the logit of a class, use "
                      "--multi_label; if it is that of the second of two, "
                      "give both --class_names")
  else:
    classifier = stock(model, weights)
  count = classifier.num_classes
  names = tuple(class_names) or tuple(f"class {i}" for i in range(count))
  if len(names) != count:
    raise UserError("class_names", None,
                    f"{len(names)} names for {count} classes")
  return classifier, _distinct(names), multi_label


def config_of(workdir, flag="workdir"):
  """The `Config` of the run in a folder.

  Args:
    workdir: the folder.
    flag: name of the setting that holds `workdir`, for the error.
  Raises:
    UserError: the folder has no run.
  """
  path = pathlib.Path(local_paths.local(flag, workdir)) / "config.json"
  if not path.exists():
    raise UserError(flag, workdir, "no run there (no config.json)")
  return Config.from_json(path.read_text("utf-8"))


def resize_of(workdir):
  """How the run in a folder fits pictures to its network, see `framing`."""
  return config_of(workdir).resize


def cut_of(workdir):
  """How the run in a folder cuts clips, a `data.recorded_clip.Cut`."""
  return registry.cut_of(config_of(workdir))


def _distinct(names):
  """Names with a number after each repetition, as ImageNet has two cranes."""
  seen, out = collections.Counter(), []
  for name in names:
    seen[name] += 1
    out.append(f"{name} {seen[name]}" if seen[name] > 1 else name)
  return tuple(out)


@dataclasses.dataclass(eq=False)
class Run(splits.Described):
  """A run that was trained.

  Attributes:
    path: folder of the run.
    config: its `Config`.
    split: the dict of its splits.json.
    classifier: its `models.Classifier` with the best weights.
  """

  path: pathlib.Path
  config: Config
  split: dict
  classifier: models.Classifier

  @property
  def result(self):
    """The dict of result.json.

    Raises:
      UserError: the run is not finished.
    """
    return read_result(self.path)

  def predict(self, images):
    """Labels and probabilities of pictures of any size.

    A label is decided as in the scores of the run: by the threshold that was
    chosen on its validation images, or the most probable class.

    Args:
      images: a path, folder or glob, or a uint8 array `[height, width, 3]`;
        or a list of them. A folder gives its images in the order of names.
    Returns:
      names, a list with the class of each of the N pictures (a tuple of
      classes where a picture can show several); and `[N, classes]`, the
      probabilities in the order of `class_names`.
    Raises:
      UserError: a picture cannot be read, or the run is not finished.

    Example:
      names, probabilities = runs.load("W/run").predict("cat.jpg")
    """
    threshold = picture_labels.threshold_of(self.result["thresholds"])
    _, probability, bad = picture_labels.predict(
        self.classifier, self.multi_label, picture_labels.listed(images),
        resize=self.config.resize)
    for path, why in bad.items():
      raise UserError("images", path, why)
    names = picture_labels.named(probability, self.multi_label,
                                 self.class_names, threshold)
    return names if self.multi_label else [n for n, in names], probability


def read_result(workdir):
  """The dict of a run's result.json; the weights are not loaded.

  Args:
    workdir: folder of the run.
  Raises:
    UserError: the run is not finished.
  """
  path = pathlib.Path(workdir) / "result.json"
  result = _read_json(path, "the run is not finished; start the same command "
                      "again to continue it")
  if not isinstance(result, dict):
    raise UserError(f"{path}: not the result of a run")
  return result


def _read_json(path, otherwise):
  """The content of a JSON file; `otherwise` explains why it is missing."""
  try:
    return json.loads(path.read_text())
  except FileNotFoundError as error:
    raise UserError(f"{path}: no such file: {otherwise}") from error
  except ValueError as error:
    raise UserError(f"{path}: not JSON: {error}") from error


def load(workdir, flag="workdir"):
  """Loads a run with its best weights.

  Args:
    workdir: folder of the run.
    flag: name of the setting that holds `workdir`, for the error.
  Returns:
    a `Run`.
  Raises:
    UserError: the folder has no run, or the run has no checkpoint yet.
  """
  path = pathlib.Path(local_paths.local(flag, workdir))
  config = config_of(workdir, flag)
  split = _read_json(path / "splits.json", "the run has not begun")
  note = kept_model.note_of_change(path, config.model)
  if note:
    print(f"note: {note}", flush=True)
  model = kept_model.find(path) or config.model
  classifier = run_classifier.build_classifier(
      dataclasses.replace(config, model=str(model)),
      len(split["class_names"]), split["multi_label"], trained=True)
  for best, model in run_folder.weights(path, classifier):
    if not best.exists():
      raise UserError(flag, workdir, "the run has no checkpoint yet")
    backbones.load_weights(model, best, config.model, (flag, workdir))
  return Run(path, config, split, classifier)

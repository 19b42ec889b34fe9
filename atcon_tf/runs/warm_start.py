"""Loads the weights of --warm_start; refuses those that leak test images."""

import json
import os
import pathlib

from atcon_tf.config import Config
from atcon_tf.config import defaults
from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.config import UserError
from atcon_tf.models import backbones
from atcon_tf.runs import kept_model
from atcon_tf.runs.run import load
from atcon_tf.runs import run_folder


def start_weights(classifier, warm_start):
  """Loads the weights of a run or of a weights file.

  If both the classifier and the run have an explanation head, the head gets
  the run's weights as well.

  Args:
    classifier: a `models.Classifier`.
    warm_start: folder of a run, or a weights file.
  Raises:
    UserError: the weights are of another model, or of another head.
  """
  path, given = pathlib.Path(warm_start), ("warm_start", warm_start)
  if not path.is_dir():
    backbones.load_weights(classifier.stored, path, classifier.name, given)
    return
  (file, model), *heads = run_folder.weights(path, classifier)
  backbones.load_weights(model, file, classifier.name, given)
  for file, head in heads:
    if not file.exists():
      continue
    before = load(path).classifier.attention
    if before.description != head.description:
      raise UserError(*given, f"its head is {before.description}, but this "
                      f"run's head is {head.description}")
    head.set_weights(before.get_weights())


def check_start(config, split):
  """Refuses weights of other classes, and weights that leak test images.

  Args:
    config: a resolved `Config` with a `warm_start`.
    split: the dict of the new run's splits.json.
  Raises:
    UserError: the classes differ, or validation or test images of
      the new run trained the weights, with or without labels.
  """
  given = "warm_start", config.warm_start
  run = pathlib.Path(config.warm_start)
  if run.is_file():  # RUN/checkpoints/best.weights.h5
    run = run.parent.parent
  if not (run / "splits.json").is_file():
    return
  before = Config.from_json((run / "config.json").read_text())
  old_split = json.loads((run / "splits.json").read_text())
  copy = kept_model.find(run)
  if copy and defaults.is_file(config.model) and not kept_model.same(
      copy, config.model):
    raise UserError("model", config.model,
                    f"is another file than {copy}, whose network the weights "
                    f"of --warm_start={config.warm_start} are of")
  for name in ("class_names", "multi_label"):
    if old_split[name] != split[name]:
      raise UserError(*given, f"its {name} are {old_split[name]}, but those of "
                      f"these data are {split[name]}")
  if os.path.realpath(before.data_dir) != os.path.realpath(config.data_dir):
    return
  trained = {*old_split["train_labeled"], *(
      old_split["train_unlabeled"] if uses_pool(before) else ())}
  leaked = trained & {*split["val"], *split["test"]}
  if leaked:
    raise UserError(
        *given, f"was trained on {len(leaked)} of this run's validation and "
        f"test images; use --splits={run / 'splits.json'}, or its "
        f"--split_seed={before.split_seed}")

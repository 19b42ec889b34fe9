"""Weights that a run starts from, and whether it may."""

import json
import os
import pathlib

from atcon_tf.config import Config
from atcon_tf.config.settings import HEADS
from atcon_tf.config.objective_settings.registry import uses_pool
from atcon_tf.config import UserError
from atcon_tf.models import backbones
from atcon_tf.runs.run import load
from atcon_tf.runs import run_folder


def start_weights(classifier, warm_start):
  """Loads the weights that `--warm_start` names: a run or a weights file.

  A head goes on from that of the run, if it has one.

  Raises:
    UserError: they are of another model, or of another head.
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
      raise UserError(*given, f"its head is {before.description}, this one "
                      f"{head.description}")
    head.set_weights(before.get_weights())


def check_start(config, split):
  """Refuses weights of other classes, and those that cannot be judged.

  That is, by images that they were trained on, with or without their labels.
  """
  given = "warm_start", config.warm_start
  run = pathlib.Path(config.warm_start)
  if run.is_file():  # RUN/checkpoints/best.weights.h5
    run = run.parent.parent
  if not (run / "splits.json").is_file():
    return
  before = Config.from_json((run / "config.json").read_text())
  theirs = json.loads((run / "splits.json").read_text())
  for name in ("class_names", "multi_label"):
    if theirs[name] != split[name]:
      raise UserError(*given, f"its {name} are {theirs[name]}, those of these "
                      f"data {split[name]}")
  if config.objective in HEADS:
    for name in ("reflect_padding", "input_range"):
      ours, its = getattr(config, name), getattr(before, name)
      if ours != its:
        raise UserError(name, ours,
                        f"the classifier of --warm_start={run} has {its}")
  if os.path.realpath(before.data_dir) != os.path.realpath(config.data_dir):
    return
  trained = {*theirs["train_labeled"], *(
      theirs["train_unlabeled"] if uses_pool(before) else ())}
  leaked = trained & {*split["val"], *split["test"]}
  if leaked:
    raise UserError(
        *given, f"was trained on {len(leaked)} of this run's validation and "
        f"test images; use --splits={run / 'splits.json'}, or its "
        f"--split_seed={before.split_seed}")

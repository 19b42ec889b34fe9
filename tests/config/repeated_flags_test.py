"""A flags.txt repeats settings whose defaults depend on other settings."""

import pytest

from atcon_tf.config import Config

RANKED = dict(dataset="voc", objective="self_training")


@pytest.mark.parametrize("model, name, value, otherwise", [
    ("mobilenet_v2", "eval_every", 10, 25),
    ("mobilenet_v2", "unlabeled_batch_size", 8, 24),
    ("mobilenet_v2", "atcon_weight", .2, 0.),
    ("efficientnet_b0", "atcon_weight", .2, 0.)])
def test_a_value_asked_for_that_is_the_default_of_other_runs(
    model, name, value, otherwise):
  config = Config(**RANKED, model=model)
  assert getattr(config.resolve(), name) == otherwise
  asked = config.resolve({name})
  assert getattr(asked, name) == value
  assert f"--{name}={value}" in asked.to_flags().splitlines()
  assert f"--{name}=" not in Config(
      **RANKED, model=model, start="prior").resolve().to_flags() or (
          model == "efficientnet_b0")


def test_what_is_filled_in_is_written_once():
  lines = Config(**RANKED).resolve().to_flags().splitlines()
  names = [line.partition("=")[0] for line in lines]
  assert len(names) == len(set(names))
  assert {"--eval_every=25", "--unlabeled_batch_size=24",
          "--atcon_weight=0.0", "--steps=50", "--refit=on"} <= set(lines)

"""A run that starts from another takes the settings of its network."""

import dataclasses

import pytest

from atcon_tf.config import Config
from tests.refusals import refused

OWN = dict(model="mobilenet_v2", width=0.5, image_size=96, cam_layer=("out",),
           head="unit")


@pytest.fixture
def run(tmp_path):
  """Folder of a run's settings; it has a weights file, too."""
  folder = tmp_path / "run"
  (folder / "checkpoints").mkdir(parents=True)
  (folder / "checkpoints/best.weights.h5").write_bytes(b"")
  config = Config(dataset="folder", data_dir="photos", objective="supervised",
                  reflect_padding=True, start="prior", **OWN).resolve()
  (folder / "config.json").write_text(config.to_json())
  return folder


@pytest.mark.parametrize("objective", ["tame", "l_cam", "atcon"])
@pytest.mark.parametrize("file", ["", "checkpoints/best.weights.h5"])
def test_the_network_is_that_of_the_run(run, objective, file):
  config = Config(objective=objective, dataset="folder", data_dir="photos",
                  warm_start=str(run / file)).resolve()
  assert {name: getattr(config, name) for name in OWN} == OWN
  assert config.reflect_padding and config.weights == "none"
  assert config.resolve() == config


@pytest.mark.parametrize("name, value, shown", [
    ("model", "resnet50", "mobilenet_v2"), ("width", 1., "0.5"),
    ("image_size", 225, "96"), ("cam_layer", ("other",), "out"),
    ("reflect_padding", False, "True"), ("head", "linear", "unit")])
def test_a_contradiction_is_refused(run, name, value, shown):
  config = Config(objective="tame", warm_start=str(run), **{name: value})
  line = value[0] if name == "cam_layer" else value
  with refused(f"--{name}={line}: --warm_start={run} has {shown}; without "
               "the flag"):
    config.resolve({name})
  same = {**OWN, "reflect_padding": True}[name]
  dataclasses.replace(config, **{name: same}).resolve({name})


def test_a_run_without_a_cam_layer_leaves_the_choice(run):
  own = Config.from_json((run / "config.json").read_text())
  (run / "config.json").write_text(
      dataclasses.replace(own, cam_layer=()).to_json())
  config = Config(objective="l_cam", warm_start=str(run), cam_layer=("a",))
  assert config.resolve().cam_layer == ("a",)


def test_settings_that_are_none_are_refused(run):
  (run / "config.json").write_text("[")
  with refused("--warm_start=.*config.json: not the settings of a run"):
    Config(objective="tame", warm_start=str(run)).resolve()

"""A Keras that is set up for something else is refused by the setting."""

import json
import os
import subprocess
import sys

import keras
import pytest

from atcon_tf.config import keras_settings
from atcon_tf.config import UserError
from atcon_tf import models

DEFAULT = {"backend": "tensorflow", "image_data_format": "channels_last",
           "floatx": "float32", "epsilon": 1e-7}


def _home(tmp_path, monkeypatch, **changes):
  (tmp_path / "keras.json").write_text(json.dumps(DEFAULT | changes))
  monkeypatch.setenv("KERAS_HOME", str(tmp_path))


@pytest.mark.parametrize("name, value", [
    ("backend", "jax"), ("image_data_format", "channels_first"),
    ("floatx", "float16"), ("floatx", "float64")])
def test_a_setting_of_keras_json(name, value, tmp_path, monkeypatch):
  monkeypatch.delenv("KERAS_BACKEND", raising=False)
  _home(tmp_path, monkeypatch)
  keras_settings.check()
  _home(tmp_path, monkeypatch, **{name: value})
  with pytest.raises(UserError, match=f"keras.json: {name} is {value}; must "
                     f"be {DEFAULT[name]}"):
    keras_settings.check()


def test_the_environment_goes_before_the_file(tmp_path, monkeypatch):
  _home(tmp_path, monkeypatch, backend="torch")
  monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
  keras_settings.check()
  monkeypatch.setenv("KERAS_BACKEND", "jax")
  with pytest.raises(UserError, match="^KERAS_BACKEND=jax: must be tensorflow"):
    keras_settings.check()


def test_a_broken_or_missing_file_is_keras_default(tmp_path, monkeypatch):
  monkeypatch.delenv("KERAS_BACKEND", raising=False)
  monkeypatch.setenv("KERAS_HOME", str(tmp_path))
  keras_settings.check()
  (tmp_path / "keras.json").write_text("{")
  keras_settings.check()


def test_channels_first_that_a_program_sets_later():
  keras.config.set_image_data_format("channels_first")
  try:
    with pytest.raises(UserError, match="image_data_format is channels_first"):
      models.build("tiny_cnn", 2, image_size=16)
  finally:
    keras.config.set_image_data_format("channels_last")


def test_a_command_answers_in_one_line():
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.train"], capture_output=True, text=True,
      env=os.environ | {"KERAS_BACKEND": "jax"}, check=False)
  assert done.returncode == 2 and not done.stdout
  assert done.stderr.count("\n") == 1
  assert done.stderr.startswith("error: KERAS_BACKEND=jax: must be tensorflow")

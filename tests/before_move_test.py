"""A run and files that were written before the rooms existed still load.

`tests/before_move/` was made at 1f2df55: a run of four ATCON steps on the
drawn shapes, a classifier with reflected padding and a small Vision
Transformer as .keras files, and what each answered.
"""

import pathlib

import keras
import numpy as np
import pytest

from atcon_tf import runs
from atcon_tf.models import backbones  # registers the layers
from atcon_tf.models.edge_padding import ReflectionPadding
from atcon_tf.models import guided_relu
from atcon_tf.models import token_grid
from atcon_tf.models import vit

FOLDER = pathlib.Path(__file__).parent / "before_move"


@pytest.mark.parametrize("name", ["classifier", "vit"])
def test_a_keras_file(name):
  model = keras.models.load_model(FOLDER / f"{name}.keras")
  images = np.random.default_rng(0).uniform(size=[2, 16, 16, 3])
  with np.load(FOLDER / "answers.npz") as answers:
    np.testing.assert_allclose(model(images.astype(np.float32)),
                               answers[name], rtol=1e-4, atol=1e-5)


def test_a_run():
  run = runs.load(FOLDER / "run")
  images = np.random.default_rng(0).uniform(
      size=[2, *run.classifier.image_size, 3])
  with np.load(FOLDER / "answers.npz") as answers:
    np.testing.assert_allclose(run.classifier.model(images.astype(np.float32)),
                               answers["run"], rtol=1e-4, atol=1e-5)
  assert run.result["steps"]["supervised"] == run.config.steps == 4


def test_the_names_under_which_keras_knows_the_layers():
  """A saved model holds these names: a class that is renamed is lost."""
  layers = [backbones.Normalize, guided_relu.GuidedReLU, ReflectionPadding,
            vit.Attention, vit.Attend, vit.Position,
            token_grid.TokenGrid, token_grid.GridTokens]
  assert [keras.saving.get_registered_name(c) for c in layers] == [
      "atcon_tf>Normalize", "atcon_tf>GuidedReLU",
      "atcon_tf>ReflectionPadding", "atcon_tf>Attention", "atcon_tf>Attend",
      "atcon_tf>Position", "atcon_tf>TokenGrid", "atcon_tf>GridTokens"]

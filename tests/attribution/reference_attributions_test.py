"""Our maps of a network agree with those of captum and zennit.

tools/reference_attributions.py has made the arrays, in float64.
"""

import pathlib

import keras
import numpy as np
import pytest

from atcon_tf import attribution
from atcon_tf import models

LAYERS = keras.layers
STORED = np.load(pathlib.Path(__file__).with_name(
    "reference_attributions.npz"))


def _classifier():
  """The network of the tool, with its weights."""
  model = keras.Sequential([
      keras.Input([12, 12, 3]),
      LAYERS.Conv2D(6, 3, activation="relu"),
      LAYERS.Conv2D(6, 1), LAYERS.MaxPooling2D(),
      LAYERS.Conv2D(8, 2, activation="relu"), LAYERS.AveragePooling2D(2),
      LAYERS.Flatten(), LAYERS.Dense(10, activation="relu"),
      LAYERS.Dense(3)])
  model.set_weights([STORED[f"weight{i}"] for i in range(10)])
  return models.wrap(model)


BASELINES = dict(baselines=STORED["baselines"])


@pytest.mark.parametrize("library, method, options", [
    ("captum", "lrp_epsilon", {}),
    ("captum", "deep_lift", {}),
    ("captum", "deep_shap", BASELINES),
    ("captum", "expected_gradients", dict(
        samples=6, positions=STORED["positions"], **BASELINES)),
    ("zennit", "lrp", {}),
    ("zennit", "lrp_gamma", {}),
    ("zennit", "lrp_alpha_beta", {}),
    ("zennit", "lrp_z_plus", {}),
])
def test_agreement(float64, library, method, options):
  classifier = _classifier()
  images, target = STORED["images"], STORED["target"]
  np.testing.assert_allclose(classifier.model(images), STORED["logits"])
  theirs = STORED[f"{library}_{method}"]
  ours = attribution.explain(classifier, images, method, target, **options)
  np.testing.assert_allclose(ours, theirs, rtol=0,
                             atol=1e-5 * np.abs(theirs).max())

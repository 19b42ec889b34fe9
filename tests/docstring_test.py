"""The examples in the docstrings of maps and scores run and are right.

Doctests. attribution/api.py and evaluation/metrics/__init__.py list the names
that are in scope.
"""

import doctest
import importlib
import inspect
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.evaluation import metrics
from atcon_tf import models
from atcon_tf.models import explanation_head
from atcon_tf.models import vit
from tests.conftest import ROOT


def _modules(package):
  names = [m.name for m in pkgutil.walk_packages(package.__path__,
                                                 f"{package.__name__}.")]
  return [package, *map(importlib.import_module, names)]


def _scope(package):
  """What an example may use besides the modules of its package."""
  own = {m.__name__.rpartition(".")[2]: m for m in _modules(package)}
  common = {**own, "np": np, "tf": tf, "vit": vit,
            "explanation_head": explanation_head}
  if package is attribution:
    keras.utils.set_random_seed(0)
    return {**common, "classifier": models.build("tiny_cnn", 3, image_size=32),
            "images": np.random.default_rng(0).uniform(
                size=[2, 32, 32, 3]).astype(np.float32)}
  maps = np.zeros([2, 8, 8])
  maps[:, :, :4] = 1
  return {**common, "maps": maps, "images": maps[..., None],
          "predict": lambda images, pairs: images[:, :, :4].mean((1, 2, 3)),
          "explain": lambda images: maps, "masks": maps.astype(np.uint8),
          "boxes": [np.array([[0, 0, .5, 1]]), np.array([[0, 0, .5, .5]])],
          "random": np.random.default_rng(0)}


@pytest.mark.parametrize("package", [attribution, metrics],
                         ids=lambda p: p.__name__)
def test_examples(package):
  scope, finder, ran = _scope(package), doctest.DocTestFinder(), 0
  runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
  report = []
  for module in _modules(package):
    for test in finder.find(module, module.__name__, globs=scope):
      ran += runner.run(test, out=report.append).attempted
  assert not runner.failures, "".join(report)
  assert ran > 20


def test_every_method_and_score_has_an_example():
  methods = [m.explain for m in attribution.METHODS.values()]
  scores = [f for module in _modules(metrics)
            for name, f in inspect.getmembers(module, inspect.isfunction)
            if name in metrics.METRICS and f.__module__ == module.__name__]
  assert len(scores) > 8
  for function in [*methods, *scores, attribution.explain, attribution.build,
                   attribution.enlarge]:
    assert ">>>" in function.__doc__, function.__name__


def test_every_method_is_on_the_page_of_its_family():
  page = (ROOT / "docs/methods.md").read_text("utf-8")
  assert [m for m in attribution.METHODS if f"`{m}`" not in page] == []

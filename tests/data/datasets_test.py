"""The registry of data sets: a Config in, a Dataset out."""

import dataclasses

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import PIL.Image
import pytest

from atcon_tf import config
from atcon_tf.data import registry
from atcon_tf.data.sources import rules
from atcon_tf.data.sources import voc


class RegistryTest(parameterized.TestCase):

  @pytest.fixture(autouse=True)
  def _folder(self, tmp_path):
    self.tmp = tmp_path

  def test_shapes(self):
    settings = config.Config(classes=("disk", "star")).resolve()
    data = registry.load(settings)
    self.assertEqual(data.class_names, ("disk", "star"))
    self.assertEqual(data.splits["val"][0].mask().shape,
                     (settings.image_size, settings.image_size))

  def test_folder(self):
    for name in ("cat", "dog"):
      (self.tmp / name).mkdir()
      for i in range(9):
        PIL.Image.new("RGB", (4, 4)).save(self.tmp / name / f"{i}.png")
    data = registry.load(config.Config(
        dataset="folder", data_dir=str(self.tmp),
        classes=("dog", "cat")).resolve())
    self.assertEqual(data.class_names, ("dog", "cat"))

  def test_a_seed_changes_no_official_split(self):
    settings = config.Config(classes=("disk", "star"))
    ids = [[r.id for r in registry.load(dataclasses.replace(
        settings, seed=seed).resolve()).splits["test"]] for seed in (0, 1)]
    self.assertEqual(*ids)

  def test_keep(self):
    data = registry.load(config.Config(classes=("disk", "star")).resolve())
    wanted = [data.splits["val"][2].id, data.splits["test"][0].id]
    kept = registry.keep(data, wanted)
    self.assertEqual({split: [r.id for r in records]
                      for split, records in kept.splits.items()},
                     {"train": [], "val": wanted[:1], "test": wanted[1:]})

  def test_voc_passes_its_settings_on(self):
    with absltest.mock.patch.object(voc, "load") as load:
      registry.load(config.Config(
          dataset="voc", data_dir="x", voc_year=2012, classes=("dog", "tiger"),
          keep_difficult=True).resolve())
    load.assert_called_once_with("x", 2012, ("dog", "tiger"), True)


class RulesTest(parameterized.TestCase):

  @parameterized.parameters(
      # Given as they are: left alone.
      (10, 3, 4, (10, 3, 4)),
      # No validation set: 20 % of train.
      (10, 0, 4, (8, 2, 4)),
      # No test set: val is it, and train gives a validation set.
      (10, 3, 0, (8, 2, 3)),
      (2, 0, 1, (1, 1, 1)))
  def test_complete(self, train, val, test, want):
    given = {"train": [f"a{i}" for i in range(train)],
             "val": [f"b{i}" for i in range(val)],
             "test": [f"c{i}" for i in range(test)]}
    got = rules.complete(given)
    self.assertEqual(tuple(len(got[s]) for s in ("train", "val", "test")),
                     want)
    every = sum(got.values(), [])
    self.assertCountEqual(every, sum(given.values(), []))
    for ids in got.values():
      self.assertEqual(ids, sorted(ids))

  def test_rank_is_that_of_the_sha1(self):
    # `printf a | sha1sum` is 86f7..., b e9d7..., c 84a5...
    self.assertEqual(rules.rank("abc"), ["c", "a", "b"])
    self.assertEqual(np.unique([rules.rank("abcd", str(s))[0]
                                for s in range(30)]).tolist(), list("abcd"))

"""VOC as TFDS finds it: the same as from the devkit."""

import functools
import unittest.mock

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data.sources import voc
from tests.voc_devkit import Case
from tests.voc_devkit import ids_of


class TfdsTest(Case):

  def from_tfds(self, year=2007):
    """Loads through TFDS's own builder, which finds our devkit downloaded."""
    tfds = pytest.importorskip("tensorflow_datasets")
    (self.parent / "downloads").mkdir(exist_ok=True)
    (self.parent / "downloads" / "voc.tar").touch()
    builder = functools.partial(tfds.builder, data_dir=str(self.parent))
    with unittest.mock.patch.object(
        tfds.download.DownloadManager, "download_and_extract",
        lambda _, urls: {k: str(self.parent) for k in urls}):
      with unittest.mock.patch.object(tfds, "builder", builder):
        return voc.load(year=year)

  def test_gives_what_the_devkit_gives(self):
    self.simple()
    self.image("a", ("dog", 1, 1, 20, 10), difficult=[("cow", 2, 2, 4, 4)])
    want, got = self.load(), self.from_tfds()
    self.assertEqual(ids_of(got), ids_of(want))
    for split, records in want.splits.items():
      for a, b in zip(records, got.splits[split]):
        np.testing.assert_array_equal(a.label, b.label)
        np.testing.assert_array_equal(a.box_label, b.box_label)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-6)
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(a.image)),
                                      b.image())

  def test_another_format_prepared_before_is_no_obstacle(self):
    tfds = pytest.importorskip("tensorflow_datasets")
    self.simple()
    with unittest.mock.patch.object(
        tfds.download.DownloadManager, "download_and_extract",
        lambda _, urls: {k: str(self.parent) for k in urls}):
      tfds.builder("voc/2007", data_dir=self.parent).download_and_prepare()
    self.assertEqual(ids_of(self.from_tfds()), ids_of(self.load()))

  def test_2012_uses_what_has_labels(self):
    self.year(2012)
    for i in range(7):
      self.image(str(i), ("dog", 1, 1, 20, 10))
    self.lists(train="01234", val="56", test="0")
    want = ids_of(self.load(year=2012))
    self.assertEqual(ids_of(self.from_tfds(2012)), want)
    self.assertEqual(want["test"], ["5", "6"])

  def test_without_a_network_tells_both_ways(self):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = functools.partial(tfds.builder, data_dir=str(self.parent))
    with unittest.mock.patch.object(tfds, "builder", builder):
      with unittest.mock.patch("requests.head", side_effect=OSError("off")):
        with self.assertRaisesRegex(
            UserError, r"data_dir: .* \(OSError: off\); pass data_dir="
            "<VOCdevkit folder>, or run once with an internet") as caught:
          voc.load()
    self.assertNotIn("\n", str(caught.exception))

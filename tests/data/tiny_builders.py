"""Tiny data sets of TFDS, which the tests prepare on the disk."""

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

from tests.data import drawn_files


class _Tiny(tfds.core.GeneratorBasedBuilder):
  """Drawn discs and squares."""

  VERSION = tfds.core.Version("1.0.0")
  SPLITS = {"train": 20, "validation": 6, "test": 6}
  pictures = None  # the folder of the drawn pictures

  def _labels(self):
    return {"label": tfds.features.ClassLabel(names=["disc", "square"])}

  def _label(self, one):
    return {"label": one.name}

  def _info(self):
    return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({
        "image": tfds.features.Image(encoding_format="png"),
        "file_name": tfds.features.Text(), **self._labels()}))

  def _split_generators(self, dl_manager):
    del dl_manager
    return {name: self._generate_examples(name, count)
            for name, count in self.SPLITS.items()}

  def _generate_examples(self, split, count):
    for one in drawn_files.draw(self.pictures, count, split, len(split)):
      image = PIL.Image.open(f"{self.pictures}/{one.path}")
      yield one.path, {"image": np.asarray(image), "file_name": one.path,
                       **self._label(one)}


with tfds.core.registered.skip_registration():

  class TinyShapes(_Tiny):
    """One label an image."""

  class TinyObjects(_Tiny):
    """Objects with boxes; one split alone."""

    SPLITS = {"train": 20}

    def _labels(self):
      return {"objects": tfds.features.Sequence({
          "bbox": tfds.features.BBoxFeature(),
          "label": tfds.features.ClassLabel(names=["disc", "square"])})}

    def _label(self, one):
      x1, y1, x2, y2 = np.divide(one.box, [48, 40, 48, 40])
      return {"objects": [{"bbox": tfds.features.BBox(y1, x1, y2, x2),
                           "label": one.name}]}

  class TinyTags(_Tiny):
    """Several labels an image."""

    def _labels(self):
      return {"labels": tfds.features.Sequence(
          tfds.features.ClassLabel(names=["disc", "square", "all"]))}

    def _label(self, one):
      return {"labels": [one.name, "all"]}


def prepare(builder, folder, file_format="tfrecord"):
  """Prepares a data set in a folder; the pictures are drawn beside it."""
  builder.pictures = folder / "pictures"
  builder(data_dir=folder, file_format=file_format).download_and_prepare()

"""The data sets by name, each a function `Config -> Dataset`."""

import dataclasses

from atcon_tf.config import image_sizes
from atcon_tf.data.sources import binary_masks
from atcon_tf.data.sources import folder
from atcon_tf.data.sources import image_list
from atcon_tf.data.sources import shapes
from atcon_tf.data.sources import unlabeled
from atcon_tf.data.sources import voc


def _voc(config):
  return voc.load(config.data_dir, config.voc_year, config.classes,
                  config.keep_difficult)


def _folder(config):
  return folder.load(config.data_dir, config.classes, config.split_seed)


def _image_list(config):
  return image_list.load(
      config.data_dir, config.train_list, config.val_list, config.test_list,
      config.class_list, config.classes, config.split_seed)


def _binary_masks(config):
  return binary_masks.load(config.data_dir, config.split_seed)


def _shapes(config):
  # The scenes are the same for every seed, as the images of any other data
  # set are; only the choice of the labelled images depends on the seed.
  return shapes.load(config.classes,
                     size=max(image_sizes.pair(config.image_size)))


DATASETS = {"voc": _voc, "folder": _folder, "image_list": _image_list,
            "binary_masks": _binary_masks, "shapes": _shapes}


def load(config):
  """The data set that the settings name.

  Args:
    config: a resolved `Config`.
  Returns:
    a `Dataset`.
  Raises:
    UserError: a setting, a folder or a file is wrong; the error names it.
  """
  dataset = DATASETS[config.dataset](config)
  if config.unlabeled_dir:
    dataset = unlabeled.add(dataset, config.unlabeled_dir)
  return dataset


def keep(dataset, ids):
  """The data set without the images that are not in `ids`."""
  return dataclasses.replace(dataset, splits={
      part: [r for r in records if r.id in ids]
      for part, records in dataset.splits.items()})

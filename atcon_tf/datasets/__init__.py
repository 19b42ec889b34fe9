"""The data sets by name, each a function `Config -> Dataset`."""

from atcon_tf.datasets import folder
from atcon_tf.datasets import shapes
from atcon_tf.datasets import voc


def _voc(config):
  return voc.load(config.data_dir, config.voc_year, config.classes,
                  config.keep_difficult)


def _folder(config):
  return folder.load(config.data_dir, config.classes, config.split_seed)


def _shapes(config):
  return shapes.load(config.classes, config.split_seed)


DATASETS = {"voc": _voc, "folder": _folder, "shapes": _shapes}


def load(config):
  """The `Dataset` that a resolved Config names.

  Raises:
    UserError: one line that names the flag, folder or file that is wrong.
  """
  return DATASETS[config.dataset](config)

"""The data sets by name, each a function `Config -> Dataset`."""

import dataclasses

from atcon_tf.config import image_sizes
from atcon_tf.config import settings
from atcon_tf.data import framing
from atcon_tf.data import groups
from atcon_tf.data import recorded_clip
from atcon_tf.data.sources import binary_masks
from atcon_tf.data.sources import clip_table
from atcon_tf.data.sources import coco
from atcon_tf.data.sources import cvat
from atcon_tf.data.sources import folder
from atcon_tf.data.sources import image_list
from atcon_tf.data.sources import label_studio
from atcon_tf.data.sources import labelled_table
from atcon_tf.data.sources import moving_shapes
from atcon_tf.data.sources import prepared
from atcon_tf.data.sources import shapes
from atcon_tf.data.sources import svhn
from atcon_tf.data.sources import tfds_images
from atcon_tf.data.sources import unlabeled
from atcon_tf.data.sources import video
from atcon_tf.data.sources import voc


def _voc(config):
  return voc.load(config.data_dir, config.voc_year, config.classes,
                  config.keep_difficult)


def _folder(config, judged=()):
  return folder.load(config.data_dir, config.classes, config.split_seed,
                     judged=judged)


def _image_list(config):
  return image_list.load(
      config.data_dir, config.train_list, config.val_list, config.test_list,
      config.class_list, config.classes, config.split_seed)


def _binary_masks(config):
  return binary_masks.load(config.data_dir, config.split_seed)


def _csv(config, judged=()):
  return labelled_table.load(config.table, config.data_dir, config.classes,
                             config.group_column, config.split_seed, judged)


def _coco(config, judged=()):
  return coco.load(config.annotations, config.val_annotations,
                   config.test_annotations, config.data_dir, config.classes,
                   config.split_seed, judged)


def _label_studio(config, judged=()):
  return label_studio.load(config.annotations, config.data_dir,
                           config.classes, config.split_seed, judged)


def _cvat(config, judged=()):
  return cvat.load(config.annotations, config.data_dir, config.classes,
                   config.split_seed, judged)


def _tfds(config):
  return tfds_images.load(
      config.dataset.removeprefix("tfds:"), config.data_dir,
      config.no_download, config.tfds_splits, config.classes,
      config.split_seed)


def _svhn(config):
  if config.data_dir and svhn.has_files(config.data_dir):
    return svhn.load(config.data_dir, config.classes, config.svhn_extra,
                     config.split_seed)
  return tfds_images.load(
      "svhn_cropped", config.data_dir, config.no_download, ("train", "test"),
      config.classes, config.split_seed, "extra" if config.svhn_extra else "")


def _prepared(config):
  return prepared.load(config.data_dir, config.image_size, config.resize,
                       config.split_seed)


def _shapes(config):
  # The scenes are the same for every seed, as the images of any other data
  # set are; only the choice of the labelled images depends on the seed.
  return shapes.load(config.classes,
                     size=max(image_sizes.pair(config.image_size)))


def cut_of(config):
  """How the clips of a run are cut from recordings."""
  return recorded_clip.Cut(
      config.frames, config.stride, config.fps, config.clip_seconds,
      config.window_seconds, config.clip_cache)


def _video(config, judged=()):
  if config.table:
    return clip_table.load(config.table, cut_of(config), config.data_dir,
                           config.classes, config.group_column,
                           config.split_seed)
  return video.load(config.data_dir, cut_of(config), config.classes,
                    config.split_seed, judged)


def _moving_shapes(config):
  return moving_shapes.load(config.classes, config.frames,
                            size=max(image_sizes.pair(config.image_size)))


DATASETS = {"voc": _voc, "folder": _folder, "image_list": _image_list,
            "binary_masks": _binary_masks, "csv": _csv, "coco": _coco,
            "label_studio": _label_studio, "cvat": _cvat, "svhn": _svhn,
            settings.TFDS: _tfds, "prepared": _prepared, "video": _video,
            "shapes": _shapes, "moving_shapes": _moving_shapes}


def load(config, judged=()):
  """The data set that the settings name.

  Args:
    config: a resolved `Config` with an image size.
    judged: of a table, of annotations and of class folders, see
      `annotated.dataset` and `folder.load`.
  Returns:
    a `Dataset`, framed as `--resize` says.
  Raises:
    UserError: a setting, a folder or a file is wrong; the error names it.
  """
  make = DATASETS[settings.source(config.dataset)]
  dataset = make(config, judged) if judged else make(config)
  if config.unlabeled_dir and config.dataset == "video":
    dataset = video.add_unlabeled(dataset, config.unlabeled_dir, cut_of(config))
  elif config.unlabeled_dir:
    dataset = unlabeled.add(dataset, config.unlabeled_dir)
  dataset = groups.separate(dataset, config.group_pattern, config.split_seed)
  if config.dataset == "prepared":  # framed when it was stored
    return dataset
  return framing.apply(dataset, image_sizes.pair(config.image_size),
                       config.resize)


def keep(dataset, ids):
  """The data set without the images that are not in `ids`."""
  return dataclasses.replace(dataset, splits={
      part: [r for r in records if r.id in ids]
      for part, records in dataset.splits.items()})

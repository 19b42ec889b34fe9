"""The defaults that depend on the model: rates, steps, image size, objective.

Every other setting has one default for all models.
"""

import dataclasses

# Fine-tuning: the values that trained MobileNetV2 stably on VOC.
FINE_TUNING = dict(
    objective="self_training", weights="imagenet", steps=100,
    learning_rate=2e-5, head_learning_rate=3e-3,
    consistency_learning_rate=1e-5, max_learning_rate=1e-2,
    trained_layers="all")
FROM_SCRATCH = dict(
    objective="atcon", weights="none", steps=300, learning_rate=2e-3,
    head_learning_rate=2e-3, consistency_learning_rate=2e-4,
    max_learning_rate=1e-1, trained_layers="all")
# The rate of a head that begins as a probe and so is fitted already.
STARTED_HEAD_RATE = 3e-4


@dataclasses.dataclass(frozen=True)
class Network:
  """The properties of a network on which the settings depend.

  Attributes:
    image_size: default of --image_size, in pixels. At this size the last map
      is symmetric about the image's centre if the network's padding allows
      that at any size.
    recipe: the defaults of the network's training.
    relu: whether the network has ReLUs, and so a guided gradient.
    batch_norm: whether the network has layers with batch statistics.
    clips: whether it is a network of clips; one of images is run over the
      frames of clips.
  """

  image_size: int
  recipe: dict = dataclasses.field(default_factory=lambda: FINE_TUNING)
  relu: bool = True
  batch_norm: bool = True
  clips: bool = False


NETWORKS = {
    "tiny_cnn": Network(64, FROM_SCRATCH, batch_norm=False),
    "mobilenet_v2": Network(225),
    "mobilenet": Network(221),
    "resnet50": Network(225),
    "resnet101": Network(225),
    "densenet121": Network(221),
    "inception_v3": Network(299),
    "vgg16": Network(224, batch_norm=False),
    "vgg19": Network(224, batch_norm=False),
    "efficientnet_b0": Network(225, relu=False),
    "r3d_18": Network(113, FROM_SCRATCH, clips=True),
    "mc3_18": Network(113, FROM_SCRATCH, clips=True),
    "r2plus1d_18": Network(113, FROM_SCRATCH, clips=True),
}


# The endings of files that hold a whole model.
MODEL_FILES = (".keras", ".h5", ".hdf5")


def is_file(model):
  """Whether --model names the file of a model, and no backbone."""
  return model.lower().endswith(MODEL_FILES)


def of(model):
  """The `Network` of a name; for a model's file one without an image size."""
  return NETWORKS.get(model, Network(0))

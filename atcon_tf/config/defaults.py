"""What a model needs to be trained well: rates, steps, image size, objective.

Every other setting has one default for all models.
"""

import dataclasses

# Fine-tuning: the values that were healthy on VOC with MobileNetV2.
FINE_TUNING = dict(
    objective="self_training", weights="imagenet", steps=100,
    learning_rate=2e-5, head_learning_rate=3e-3,
    consistency_learning_rate=1e-5, max_learning_rate=1e-2,
    trained_layers="all")
FROM_SCRATCH = dict(
    objective="atcon", weights="none", steps=300, learning_rate=2e-3,
    head_learning_rate=2e-3, consistency_learning_rate=2e-4,
    max_learning_rate=1e-1, trained_layers="all")
# Of a head that begins as a probe: it knows much already.
STARTED_HEAD_RATE = 3e-4


@dataclasses.dataclass(frozen=True)
class Network:
  """What the settings know of a named network.

  Attributes:
    image_size: side of its square input in pixels, unless --image_size says
      otherwise: a size at which the last map is symmetric about the image's
      centre, wherever the network's padding allows one.
    recipe: the defaults of its training.
    relu: it has ReLUs, and so a guided gradient.
    batch_norm: it has layers with batch statistics.
  """

  image_size: int
  recipe: dict = dataclasses.field(default_factory=lambda: FINE_TUNING)
  relu: bool = True
  batch_norm: bool = True


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
}


def of(model):
  """The `Network` of a name, or that of a .keras file: nothing is known."""
  return NETWORKS.get(model, Network(0))

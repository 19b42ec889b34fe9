"""A training step of each kind beside a supervised one, and PyTorch's."""

import functools

import numpy as np
import tensorflow as tf

from atcon_tf.models import half_precision
from atcon_tf.objectives import atcon
from atcon_tf.objectives import self_training
from atcon_tf.objectives import supervised
from atcon_tf.training.fused_adam import FusedAdam
from atcon_tf.training.trainer import Trainer
from tools.benchmarks import networks
from tools.benchmarks import timing


CASES = (("resnet50", 257, 4), ("mobilenet_v2", 225, 8))
KINDS = ("supervised", "consistency", "self_training", "self_training, atcon")


def step(built, kinds, batch, classes=20, labelled=None):
  """One step as a function.

  Args:
    built: a `models.Classifier`.
    kinds: "supervised", "consistency", "self_training" or "self_training,
      atcon"; the latter two have a batch of labels and one of pseudo-labels.
    batch: images `[B, H, W, 3]`.
    classes: number of logits.
    labelled: images that count as labelled where both kinds take part; None:
      all.
  """
  count = len(batch)
  label = tf.constant(np.random.default_rng(0).uniform(
      size=[count, classes]) < 0.07, tf.float32)
  labeled = {"image": batch, "label": label}
  pseudo = {**labeled, "label_weight": tf.ones([count, classes]),
            "class_index": tf.zeros([count], tf.int64)}
  if labelled:
    labeled = {name: value[:labelled] for name, value in labeled.items()}
  other, batches = {
      "supervised": (atcon.Atcon, {"supervised": labeled}),
      "consistency": (atcon.Atcon, {"consistency": labeled}),
      "self_training": (
          functools.partial(self_training.SelfTraining, atcon_weight=0.0),
                        {"supervised": labeled, "consistency": pseudo}),
      "self_training, atcon": (
          functools.partial(self_training.SelfTraining, atcon_weight=0.2),
          {"supervised": labeled, "consistency": pseudo})}[kinds]
  trainer = Trainer(
      built, {"supervised": supervised.Supervised(built),
              "consistency": other(built)},
      {name: FusedAdam(1e-6)
       for name in ("backbone", "head", "consistency")})
  return lambda: dict(trainer.run(batches))


def measure(options, peer):
  """Yields the rows of steps, a list for each network.

  Args:
    options: has model, image_size, batch_size, rounds, precisions.
    peer: function that opens a `peers.Peer`, or None.
  """
  for model, side, count in networks.cases(options, CASES):
    built = networks.classifier(model, side)
    batch = networks.images_for(built, count)
    tasks = {kind: step(built, kind, batch) for kind in KINDS}
    for policy in options.precisions:
      fast = half_precision.of(built, policy)
      for kind in KINDS[:2]:
        tasks[f"{kind}, {policy}"] = step(fast, kind, batch)
    torch = peer and model == "resnet50" and peer("torch", "steps", model,
                                                  count, side)
    if torch:
      tasks |= {f"PyTorch, {name}": functools.partial(torch.seconds, name)
                for name in torch.names}
    yield timing.rows(timing.alternate(tasks, options.rounds), "supervised",
                      count, networks.title(model, side, count))
    if torch:
      torch.close()

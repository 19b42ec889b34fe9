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


def step(built, kinds, batch, classes=20):
  """One step as a function.

  Args:
    built: a `models.Classifier`.
    kinds: "supervised", "consistency", "self_training" or "self_training,
      atcon"; the latter two have a batch of labels and one of pseudo-labels.
    batch: images `[B, H, W, 3]`.
    classes: number of logits.
  """
  count = len(batch)
  label = tf.constant(np.random.default_rng(0).uniform(
      size=[count, classes]) < 0.07, tf.float32)
  labeled = {"image": batch, "label": label}
  pseudo = {**labeled, "label_weight": tf.ones([count, classes]),
            "class_index": tf.zeros([count], tf.int64)}
  other, batches = {
      "supervised": (atcon.Atcon, {"supervised": labeled}),
      "consistency": (atcon.Atcon, {"consistency": labeled}),
      "self_training": (self_training.SelfTraining,
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
  """Rows of steps.

  Args:
    options: has model, image_size, batch_size, rounds, precisions.
    peer: function that opens a `peers.Peer`, or None.
  """
  built = networks.classifier(options.model, options.image_size)
  batch = networks.images_for(built, options.batch_size)
  tasks = {kind: step(built, kind, batch) for kind in (
      "supervised", "consistency", "self_training", "self_training, atcon")}
  for policy in options.precisions:
    fast = half_precision.of(built, policy)
    for kind in ("supervised", "consistency"):
      tasks[f"{kind}, {policy}"] = step(fast, kind, batch)
  torch = peer and options.model == "resnet50" and peer(
      "torch", "steps", options.batch_size, options.image_size)
  if torch:
    tasks |= {f"PyTorch, {name}": functools.partial(torch.seconds, name)
              for name in torch.names}
  found = timing.rows(timing.alternate(tasks, options.rounds), "supervised",
                      options.batch_size)
  if torch:
    torch.close()
  return found

"""Times and memory: `python -m tools.benchmark --what=steps|attribution`.

The functions that are compared run alternately in one process. Compare medians
and ratios: the load of a machine changes by the minute.
"""

import functools
import json
import shlex
import statistics
import sys
import time

from absl import flags
import keras
import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import settings
from atcon_tf import models
from atcon_tf.objectives import atcon
from atcon_tf.objectives import self_training
from atcon_tf.objectives import supervised
from atcon_tf.training.results import peak_memory
from atcon_tf.training.trainer import Trainer


def alternate(functions, rounds, warm_up=2):
  """Seconds of each function, taken in turn.

  Args:
    functions: `{name: callable without arguments}`.
    rounds: timed calls of each.
    warm_up: calls before that (tracing, memory).
  Returns:
    `{name: [seconds]}`.
  """
  seconds = {name: [] for name in functions}
  for round_ in range(-warm_up, rounds):
    for name, function in functions.items():
      started = time.perf_counter()
      function()
      if round_ >= 0:
        seconds[name].append(time.perf_counter() - started)
  return seconds


def report(seconds, base, images):
  """Prints medians, and the medians of the ratios to `base` of each round.

  Args:
    seconds: from `alternate`.
    base: the name of the function that the others are compared with.
    images: that one call handles.
  Returns:
    what it prints, `{name: {"ms_an_image", "over_BASE"}}`.
  """
  rows = {}
  for name, times in seconds.items():
    ratio = statistics.median(
        t / b for t, b in zip(times, seconds[base]))
    rows[name] = {"ms_an_image": 1e3 * statistics.median(times) / images,
                  f"over_{base}": ratio}
    print(f"{name:24s} {rows[name]['ms_an_image']:8.1f} ms an image   "
          f"{ratio:5.2f} x {base}")
  return rows


def steps(model, image_size, batch_size, rounds):
  """Compares steps of each kind with a supervised step of the same network.

  A self-training step has a supervised batch and one of pseudo-labels.
  """
  keras.utils.set_random_seed(0)
  classifier = models.build(model, 20, image_size=image_size,
                            prior=[0.07] * 20)
  size = classifier.image_size
  rng = np.random.default_rng(0)
  batch = {"image": tf.constant(rng.uniform(size=[batch_size, *size, 3]),
                                tf.float32),
           "label": tf.constant(rng.uniform(size=[batch_size, 20]) < 0.07,
                                tf.float32)}
  pseudo = {**batch, "label_weight": tf.ones([batch_size, 20]),
            "class_index": tf.zeros([batch_size], tf.int64)}
  calibrate(classifier, batch["image"])
  tasks = {}
  for name, objective, batches in (
      ("supervised", atcon.Atcon(classifier), {"supervised": batch}),
      ("consistency", atcon.Atcon(classifier), {"consistency": batch}),
      ("self_training", self_training.SelfTraining(classifier),
       {"supervised": batch, "consistency": pseudo}),
      ("self_training, atcon", self_training.SelfTraining(
          classifier, atcon_weight=0.2),
       {"supervised": batch, "consistency": pseudo})):
    trainer = Trainer(
        classifier, {"supervised": supervised.Supervised(classifier),
                     "consistency": objective},
        {name: keras.optimizers.Adam(1e-6)
         for name in ("backbone", "head", "consistency")})
    tasks[name] = functools.partial(trainer.run, batches)
  print(f"{model}, {size[0]} px, batch {batch_size}, {rounds} rounds")
  return report(alternate(tasks, rounds), "supervised", batch_size)


# Methods of this package, and the names of the same in tf-keras-vis.
PAIRS = (("grad_cam", "gradcam"), ("gradient", "saliency"))


def attributions(model, image_size, batch_size, rounds):
  """Compares our maps with those of tf-keras-vis."""
  keras.utils.set_random_seed(0)
  classifier = models.build(model, 20, image_size=image_size)
  size = classifier.image_size
  images = tf.random.stateless_uniform([batch_size, *size, 3], [0, 0])
  target = tf.zeros([batch_size], tf.int64)
  calibrate(classifier, images)
  rows = {}
  print(f"{model}, {size[0]} px, {batch_size} images, {rounds} rounds")
  for ours, theirs in PAIRS:
    mine = tf.function(attribution.build(classifier, ours))
    other = attribution.build(classifier, f"tf_keras_vis:{theirs}")
    rows |= report(alternate({
        ours: lambda mine=mine: mine(images, target).numpy(),
        f"tf_keras_vis:{theirs}": lambda other=other: other(images, target),
    }, rounds, warm_up=1), ours, batch_size)
  one, first = images[:1], target[:1]
  mine = tf.function(attribution.build(classifier, "score_cam", channels=64))
  other = attribution.build(classifier, "tf_keras_vis:scorecam", max_N=64)
  print("Score-CAM of one image, 64 channels")
  return rows | report(alternate({
      "score_cam": lambda: mine(one, first).numpy(),
      "tf_keras_vis:scorecam": lambda: other(one, first)}, max(rounds // 2, 1),
                                 warm_up=1), "score_cam", 1)


def calibrate(classifier, images):
  """Gives random weights BatchNorm statistics of their own.

  Without them activations fade to denormal numbers, which are slow.
  """
  norms = [l for l in classifier.network._flatten_layers()
           if isinstance(l, keras.layers.BatchNormalization)]
  before = [l.momentum for l in norms]
  for layer in norms:
    layer.momentum = 0.0
  classifier.model(images, training=True)
  for layer, momentum in zip(norms, before):
    layer.momentum = momentum


def main(argv):
  """Runs one comparison and prints it."""
  del argv
  values = flags.FLAGS
  if values.out:
    files.check_file("out", values.out)
  compare = {"steps": steps, "attribution": attributions}[values.what]
  rows = compare(values.model, values.image_size, values.batch_size,
                 values.rounds)
  peak = peak_memory()
  print(f"peak memory of the process: {peak:.2f} GiB")
  if values.out:
    files.write_text(values.out, json.dumps({
        "what": values.what, "rows": rows, "peak_gib": peak,
        "command": shlex.join(sys.argv)}, indent=1))


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_enum("what", "steps", ["steps", "attribution"],
                    "what is compared")
  flags.DEFINE_enum("model", "resnet50", settings.MODELS, "backbone")
  flags.DEFINE_integer("image_size", 257, "side of the images", 32)
  flags.DEFINE_integer("batch_size", 4, "images in a step", 1)
  flags.DEFINE_integer("rounds", 7, "timed steps of each kind", 1)
  flags.DEFINE_string("out", "", "write the figures to this JSON file")


if __name__ == "__main__":
  cli.run(main, define_flags)

"""Attribution maps beside those of other packages."""

import functools

import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.attribution import forward_pass
from atcon_tf.attribution.methods import cam
from atcon_tf.attribution.methods import gradient
from tools.benchmarks import networks
from tools.benchmarks import timing

# Our method with its options; in the main environment tf-keras-vis's name.
METHODS = {
    "grad_cam": ("grad_cam", {}, "gradcam"),
    "guided_backprop": ("guided_backprop", {}, None),
    "gradient": ("gradient", {}, "saliency"),
    "integrated_gradients (32 steps)": (
        "integrated_gradients", {"steps": 32}, None),
    "lrp_epsilon": ("lrp_epsilon", {}, None),
    "deep_lift": ("deep_lift", {}, None),
    "expected_gradients (8 samples)": (
        "expected_gradients", {"samples": 8}, None),
    "rise (500 masks)": ("rise", {"masks": 500}, None)}
BOTH = "grad_cam and guided_backprop"
CASES = (("resnet50", 224, 8), ("mobilenet_v2", 224, 8))
# One image, and at most so many rounds, of methods with many passes.
SLOW = {"integrated_gradients (32 steps)": 5,
        "expected_gradients (8 samples)": 5, "rise (500 masks)": 2}


def measure(options, peer):
  """Yields the rows of methods, each beside the same of every peer that has it.

  Args:
    options: has model, image_size, batch_size, rounds, methods.
    peer: function that opens a `peers.Peer`, or None.
  """
  for model, side, count in networks.cases(options, CASES):
    built, peers = networks.classifier(model, side), {}
    for name in options.methods or (*METHODS, BOTH):
      number, rounds = count, options.rounds
      if name in SLOW:
        number, rounds = 1, min(rounds, SLOW[name])
      images = networks.images_for(built, number)
      target = tf.zeros([number], tf.int64)
      if number not in peers:
        peers[number] = [peer(package, "attribution", model, number, side)
                         for package in ("torch", "xplique")
                         ] if peer and (model, side, count) in CASES else []
      tasks = {name: _ours(built, name, images, target)}
      vis = METHODS[name][2] if name in METHODS else None
      if vis:
        tasks[f"tf-keras-vis, {name}"] = functools.partial(
            _call, attribution.build(built, f"tf_keras_vis:{vis}"), images,
            target)
      for one in peers[number]:
        tasks |= {f"{own.partition(':')[0]}, {name}": functools.partial(
            one.seconds, own)
                  for own in one.names if own.partition(":")[2] == name}
      yield timing.rows(timing.alternate(
          tasks, rounds, warm_up=1 if name in SLOW else 2), name, number,
                        networks.title(model, side, number))
    for one in sum(peers.values(), []):
      one.close()


def _ours(built, name, images, target):
  """One of our methods as a function without arguments."""
  if name == BOTH:
    def explain(images, target):
      pass_ = forward_pass.forward(built, images)
      return (cam.grad_cam(pass_, target),
              gradient.guided_backprop(pass_, target))
  else:
    method, settings, _ = METHODS[name]
    explain = attribution.build(built, method, **settings)
  return functools.partial(_call, tf.function(explain, autograph=False),
                           images, target)


def _call(function, images, target):
  """Calls a function and waits for its result."""
  tf.nest.map_structure(lambda t: t.numpy() if tf.is_tensor(t) else t,
                        function(images, target))

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


def measure(options, peer):
  """Rows of methods, each beside the same of every peer that has it.

  Args:
    options: has model, image_size, batch_size, rounds, methods.
    peer: function that opens a `peers.Peer`, or None.
  """
  built = networks.classifier(options.model, options.image_size)
  images = networks.images_for(built, options.batch_size)
  target = tf.zeros([options.batch_size], tf.int64)
  peers = [one for one in (peer(name, "attribution", options.batch_size,
                                built.image_size[0])
                           for name in ("torch", "xplique")) if one
           ] if peer else []
  found = []
  for name in options.methods or (*METHODS, BOTH):
    tasks = {name: _ours(built, name, images, target)}
    vis = METHODS[name][2] if name in METHODS else None
    if vis:
      other = attribution.build(built, f"tf_keras_vis:{vis}")
      tasks[f"tf-keras-vis, {name}"] = functools.partial(
          _call, other, images, target)
    for one in peers:
      tasks |= {f"{own.partition(':')[0]}, {name}": functools.partial(
          one.seconds, own)
                for own in one.names if own.partition(":")[2] == name}
    found += timing.rows(timing.alternate(
        tasks, options.rounds, warm_up=1), name, options.batch_size)
  for one in peers:
    one.close()
  return found


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

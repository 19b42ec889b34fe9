"""Attribution maps of xplique; see `peers.py`."""

import resource
import sys
import time
import types

import keras
import numpy as np

# One of xplique's methods, none of those below, imports a package that does
# not run with Keras 3.
sys.modules["tensorflow_probability"] = types.ModuleType(
    "tensorflow_probability")
from xplique import attributions  # pylint: disable=wrong-import-position


NETWORKS = {"resnet50": keras.applications.ResNet50,
            "mobilenet_v2": keras.applications.MobileNetV2}


def maps(model, count, size):
  """`{package:method: function}`, of a network with random weights."""
  keras.utils.set_random_seed(0)
  base = NETWORKS[model](include_top=False, weights=None,
                         input_shape=(size, size, 3))
  x = keras.layers.GlobalAveragePooling2D()(base.output)
  model = keras.Model(base.input, keras.layers.Dense(20)(x))
  images = np.random.default_rng(0).uniform(
      size=[count, size, size, 3]).astype(np.float32)
  target = np.eye(20, dtype=np.float32)[np.zeros(count, int)]
  options = dict(batch_size=count)
  last = base.layers[-1].name
  made = {
      "grad_cam": attributions.GradCAM(model, conv_layer=last, **options),
      "guided_backprop": attributions.GuidedBackprop(model, **options),
      "gradient": attributions.Saliency(model, **options),
      "integrated_gradients (32 steps)": attributions.IntegratedGradients(
          model, steps=32, batch_size=32),
      "rise (500 masks)": attributions.Rise(model, nb_samples=500,
                                           batch_size=32)}
  found = {f"xplique:{name}": lambda one=one: one(images, target)
           for name, one in made.items()}
  found["xplique:grad_cam and guided_backprop"] = lambda: (
      made["grad_cam"](images, target), made["guided_backprop"](
          images, target))
  return found


def main():
  """Runs the function of each line of the standard input."""
  functions = maps(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
  print(">" + "\t".join(functions), flush=True)
  for line in sys.stdin:
    started = time.perf_counter()
    functions[line.rstrip("\n")]()
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f">{seconds} {memory}", flush=True)


if __name__ == "__main__":
  main()

"""Sobol and HSIC attributions of a small network by xplique, for our tests.

    python -m venv /tmp/xplique
    /tmp/xplique/bin/pip install tensorflow==2.21.0 scipy scikit-learn
    /tmp/xplique/bin/pip install --no-deps xplique==2.0.2 einops deprecated \
        wrapt opencv-python-headless==4.11.0.86 scikit-image==0.25.2 \
        lazy-loader tensorflow-probability==0.25.0 tf-keras==2.21.0 dm-tree \
        decorator cloudpickle
    /tmp/xplique/bin/python tools/reference_sensitivity.py

writes tests/attribution/reference_sensitivity.npz, which
tests/attribution/global_sensitivity_test.py compares with our maps. xplique
asks for an older TensorFlow than it runs with. The masks are a Sobol sequence
of SciPy that is not scrambled, the same in both packages.
"""

import pathlib

import keras
import numpy as np
from xplique import attributions
from xplique.attributions import global_sensitivity_analysis as analysis

OUT = pathlib.Path(__file__).parents[1] / (
    "tests/attribution/reference_sensitivity.npz")
SIZE, CELLS, TARGET = 12, 4, [0, 2, 1]
DESIGNS, MASKS = 64, 512


def network():
  """A network of three classes."""
  layers = keras.layers
  return keras.Sequential([
      keras.Input([SIZE, SIZE, 3]), layers.Conv2D(6, 3, activation="relu"),
      layers.MaxPooling2D(), layers.Conv2D(8, 2, activation="relu"),
      layers.Flatten(), layers.Dense(10, activation="relu"),
      layers.Dense(3)])


def main():
  keras.utils.set_random_seed(0)
  model = network()
  images = np.random.default_rng(0).normal(
      size=[3, SIZE, SIZE, 3]).astype(np.float32)
  one_hot = np.eye(3, dtype=np.float32)[TARGET]
  sobol = attributions.SobolAttributionMethod(
      model, grid_size=CELLS, nb_design=DESIGNS, batch_size=256,
      sampler=analysis.ScipySobolSequenceRS())
  hsic = attributions.HsicAttributionMethod(
      model, grid_size=CELLS, nb_design=MASKS, batch_size=256,
      sampler=analysis.ScipySobolSequence(binary=True))
  # Enlarged maps; the pixel in the middle of a cell has its value.
  middle = slice(SIZE // CELLS // 2, None, SIZE // CELLS)
  found = {name: np.asarray(one(images, one_hot))[:, middle, middle, 0]
           for name, one in (("sobol", sobol), ("hsic", hsic))}
  np.savez_compressed(
      OUT, images=images, target=TARGET, **found,
      **{f"weight{i}": w for i, w in enumerate(model.get_weights())})
  print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
  main()

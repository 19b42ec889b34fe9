"""A user's own Keras model, trained on arrays and datasets of his own."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import training
from atcon_tf.config import UserError

SIZE = 16


def _model(seed=0, activation=None):
  keras.utils.set_random_seed(seed)
  inner = keras.Sequential([
      keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
      keras.layers.BatchNormalization(),
      keras.layers.Conv2D(8, 3, padding="same"), keras.layers.ReLU()])
  images = keras.Input([SIZE, SIZE, 3])
  x = keras.layers.GlobalAveragePooling2D()(inner(images))
  return keras.Model(images, keras.layers.Dense(2, activation=activation)(x))


def _data(count, seed=0):
  """Images of class 1 are brighter in their left half."""
  rng = np.random.default_rng(seed)
  label = np.arange(count) % 2
  images = rng.uniform(0, .5, [count, SIZE, SIZE, 3]).astype(np.float32)
  images[label == 1, :, :SIZE // 2] += .5
  return images, label


OPTIONS = dict(steps=4, eval_every=2, batch_size=4, unlabeled_batch_size=4,
               learning_rate=1e-2, consistency_learning_rate=1e-3)


@pytest.mark.parametrize("objective", ["supervised", "atcon",
                                       "self_training"])
def test_trains_the_very_model(objective):
  model = _model(activation="softmax")
  before = model.get_weights()
  options = dict(OPTIONS)
  if objective == "supervised":
    del options["unlabeled_batch_size"]
  if objective != "atcon":
    del options["consistency_learning_rate"]
  history = training.fit(
      model, _data(8), _data(12, 1)[0] if objective != "supervised" else None,
      _data(10, 2), objective, **options)
  assert len(history.history["loss"]) == 2
  assert np.isfinite(history.history["val_loss"]).all()
  moved = [not np.array_equal(a, b)
           for a, b in zip(before, model.get_weights())]
  assert any(moved)
  statistics = [w.path for w in model.non_trainable_variables
                if "moving" in w.path]
  assert statistics  # BatchNorm's stay as they were
  for weight, old, new in zip(model.weights, before, model.get_weights()):
    if weight.path in statistics:
      np.testing.assert_array_equal(old, new)


def test_learns_and_gives_a_plain_model(tmp_path):
  model = _model()
  training.fit(model, _data(16), None, None, "supervised", steps=60,
               batch_size=8, learning_rate=1e-2, augment=())
  images, label = _data(40, 5)
  wanted = model.predict(images, verbose=0)
  assert (wanted.argmax(1) == label).mean() > .9
  path = tmp_path / "mine.keras"
  model.save(path)
  np.save(tmp_path / "images.npy", images)
  script = (  # a process that never imports this package
      "import sys, keras, numpy as np\n"
      f"m = keras.models.load_model({str(path)!r})\n"
      f"x = np.load({str(tmp_path / 'images.npy')!r})\n"
      f"np.save({str(tmp_path / 'out.npy')!r}, m.predict(x, verbose=0))\n"
      "assert 'atcon_tf' not in sys.modules\n")
  subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
  np.testing.assert_allclose(np.load(tmp_path / "out.npy"), wanted, rtol=1e-5)


def test_datasets_are_the_same_as_arrays():
  images, label = _data(8)
  more = _data(12, 1)[0]
  one, other = _model(), _model()
  training.fit(one, (images, label), more, **OPTIONS)
  training.fit(
      other, tf.data.Dataset.from_tensor_slices((images, label)).batch(3),
      tf.data.Dataset.from_tensor_slices(more).batch(5), **OPTIONS)
  for a, b in zip(one.get_weights(), other.get_weights()):
    np.testing.assert_array_equal(a, b)


def test_augmentation_changes_what_is_learnt():
  with_, without = _model(), _model()
  options = dict(OPTIONS, objective="atcon")
  training.fit(with_, _data(8), _data(12, 1)[0], **options)
  training.fit(without, _data(8), _data(12, 1)[0], augment=(), **options)
  assert any(not np.array_equal(a, b) for a, b in
             zip(with_.get_weights(), without.get_weights()))


def test_callbacks_see_epochs_and_stop_it(tmp_path):
  model = _model()

  class Stop(keras.callbacks.Callback):
    seen = []

    def on_epoch_end(self, epoch, logs=None):
      self.seen.append((epoch, sorted(logs)))
      self.model.stop_training = True

  stop = Stop()
  kept = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras",
                                         monitor="val_loss",
                                         save_best_only=True)
  history = training.fit(model, _data(8), _data(8, 1)[0], _data(6, 2),
                         callbacks=[kept, stop], **OPTIONS)
  assert len(stop.seen) == 1 and "val_map_macro" in stop.seen[0][1]
  assert len(history.history["loss"]) == 1
  again = keras.models.load_model(tmp_path / "best.keras")
  np.testing.assert_allclose(again.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("wrong, says", [
    (dict(labeled=(np.zeros([2, 8, 8, 3]), [0, 1])), "labeled=.*16, 16, 3"),
    (dict(labeled=(np.zeros([2, 16, 16, 3]), np.array([0, 2]))), "0 to 1"),
    (dict(labeled=(np.zeros([2, 16, 16, 3]), np.full([2, 2], .5))),
     "of 0 and 1"),
    (dict(unlabeled=None), "unlabeled: needed by objective=atcon"),
    (dict(dataset="voc"), "dataset='voc': not a setting of"),
    (dict(mask_scale="max"), "mask_scale='max': must be one of none, std"),
])
def test_refuses(wrong, says):
  arguments = {"labeled": _data(4), "unlabeled": _data(4)[0], **wrong}
  with pytest.raises(UserError, match=says):
    training.fit(_model(), **arguments)


def test_refuses_an_endless_dataset():
  endless = tf.data.Dataset.from_tensor_slices(_data(4)).batch(2).repeat()
  with pytest.raises(UserError, match="must be finite"):
    training.fit(_model(), endless, _data(4)[0])

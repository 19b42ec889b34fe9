"""Which heads a probe begins: new ones, not those that a file brings."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf import training
from tests.training.probe_runs import SELF_TRAINING
from tests.training.probe_runs import begun
from tests.training.probe_runs import by_sklearn
from tests.training.probe_runs import config_of
from tests.training.probe_runs import part_of
from tests.training.probe_runs import pooled
from tests.training.probe_runs import unit_length
from tests.training.probe_runs import unit_of_views


def _file(tmp_path, *ending):
  keras.utils.set_random_seed(0)
  layers = keras.layers
  model = keras.Sequential([
      keras.Input([32, 32, 3]),
      layers.Conv2D(8, 3, strides=4, padding="same", activation="relu"),
      layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
      *ending])
  model.save(tmp_path / "mine.keras")
  return str(tmp_path / "mine.keras")


def _pooled_dense(classes, **options):
  return (keras.layers.GlobalAveragePooling2D(),
          keras.layers.Dense(classes, name="mine", **options))


def test_a_file_with_other_classes_gets_a_head_and_a_probe(tmp_path, capsys):
  """--start is not given: what the file knows is taken for pretrained."""
  config = config_of(model=_file(tmp_path, *_pooled_dense(4)))
  assert (config.start, config.head) == ("probe", "unit")
  prepared = begun(config, tmp_path)
  replaced, probe = capsys.readouterr().out.splitlines()
  assert replaced.endswith("mine.keras has 4 outputs, the data have 6 classes: "
                           "a new head replaces it")
  assert probe.startswith("probe of 12 labelled images")
  pixels, label = part_of(prepared.data, "train_labeled")
  features = unit_of_views(prepared.classifier, pixels)
  test, _ = part_of(prepared.data, "val")
  want = by_sklearn(features, label,
                    unit_length(pooled(prepared.classifier, test)))
  np.testing.assert_allclose(tf.sigmoid(prepared.classifier.model(test)),
                             want, atol=1e-3)


def test_a_file_with_these_classes_keeps_its_head(tmp_path, capsys):
  path = _file(tmp_path, *_pooled_dense(6))
  prepared = begun(config_of(model=path), tmp_path)
  assert capsys.readouterr().out == (
      f"note: the outputs of {path} are taken for disk, ring, triangle, "
      "square, cross, star, in this order\n"
      f"note: the head of {path} is kept; --start=probe applies to a new head "
      "only\n")
  own = keras.models.load_model(path).get_layer("mine").get_weights()
  found = {v.path: v.numpy() for v in prepared.classifier.model.variables}
  np.testing.assert_array_equal(found["mine/kernel"], own[0])
  np.testing.assert_array_equal(found["mine/bias"], own[1])


@pytest.mark.parametrize("use_bias", [True, False])
def test_objective_probe_fits_the_head_of_a_file(tmp_path, use_bias):
  """Nothing else is trained, so that its own head is fitted, too."""
  path = _file(tmp_path, *_pooled_dense(6, use_bias=use_bias))
  config = config_of("probe", model=path, probe_views="plain")
  if not use_bias:
    with pytest.raises(UserError, match="model=.*mine, has no bias"):
      begun(config, tmp_path)
    return
  prepared = begun(config, tmp_path)
  pixels, label = part_of(prepared.data, "train_labeled")
  features = pooled(prepared.classifier, pixels)
  scale = 10 / np.linalg.norm(features, axis=1).mean()
  test, _ = part_of(prepared.data, "val")
  want = by_sklearn(scale * features, label, scale * pooled(
      prepared.classifier, test))
  np.testing.assert_allclose(tf.sigmoid(prepared.classifier.model(test)),
                             want, atol=1e-3)


def test_a_kept_head_is_not_fitted_after_training_either(tmp_path):
  """One that is no dense layer could not be: its run would fail at the end."""
  path = _file(tmp_path, keras.layers.Conv2D(6, 1),
               keras.layers.GlobalAveragePooling2D())
  result = training.train_and_evaluate(
      config_of(**SELF_TRAINING, model=path, steps=1, eval_every=1),
      tmp_path / "run")
  assert [row["step"] for row in result["history"]] == [0, 1]
  assert "best_is_refit" not in result["steps"]


def test_a_probe_of_what_is_no_dense_layer_is_one_line(tmp_path):
  path = _file(tmp_path, keras.layers.Conv2D(6, 1),
               keras.layers.GlobalAveragePooling2D())
  with pytest.raises(UserError, match="model=.*the vector that a last dense "
                     "layer reads is needed"):
    begun(config_of("probe", model=path), tmp_path)


# Refusals.


@pytest.mark.parametrize("changes, line", [
    (dict(objective="supervised", start="probe", warm_start="W"),
     "--start=probe: not used with --warm_start=W, which gives the head its "
     "weights"),
    (dict(objective="ranked_probe", start="prior"),
     "--start=prior: --objective=ranked_probe needs --start=ranked_probe"),
    (dict(objective="probe", start="ranked_probe"),
     "--start=ranked_probe: --objective=probe needs --start=probe"),
    (dict(objective="probe", warm_start="W"),
     "--start=probe: not used with --warm_start=W, which gives the head its "
     "weights"),
    (dict(objective="tame", start="probe", warm_start="W"),
     "--start=probe: not used with --objective=tame, which explains a "
     "trained classifier"),
    (dict(objective="self_training", start="probe", refit="on", steps=90),
     "--refit=on: goes with --start=ranked_probe"),
    (dict(objective="supervised", start="probe", class_prior="p.json"),
     "--class_prior=p.json: goes with --start=ranked_probe or --objective="
     "self_training"),
    (dict(objective="supervised", refit="off"),
     "--refit=off: not used with --objective=supervised; it goes with "
     "--objective=self_training"),
    (dict(objective="supervised", start="prior", probe_views="plain"),
     "--probe_views=plain: not used with --start=prior; it goes with "
     "--start=probe or ranked_probe"),
    (dict(objective="supervised", start="warm"),
     "--start=warm: must be one of prior, probe, ranked_probe"),
    (dict(objective="probe", augment=("flip",)),
     "--augment=flip: not used with --objective=probe"),
    (dict(objective="probe", trained_layers="all"),
     "--trained_layers=all: not used with --objective=probe"),
    (dict(objective="probe", learning_rate=.1),
     "--learning_rate=0.1: not used with --objective=probe"),
    (dict(objective="probe", steps=10),
     "--steps=10: not used with --objective=probe; it goes with --objective="
     "supervised or atcon or ")])
def test_refusals(changes, line):
  with pytest.raises(UserError) as caught:
    Config(dataset="shapes", **changes).resolve()
  assert caught.value.as_flags().startswith(line)

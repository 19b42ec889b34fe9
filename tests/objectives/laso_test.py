"""LaSO: the pairs by hand, the terms of idle networks, whole runs."""

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from atcon_tf.config import Config
from atcon_tf.config.objective_settings.laso_settings import Laso
from atcon_tf.config import UserError
from atcon_tf import data
from atcon_tf.data import image_store
from atcon_tf.data import label_pairs
from atcon_tf.data import pipeline
from atcon_tf import models
from atcon_tf.objectives import laso
from atcon_tf import runs
from atcon_tf import training
from atcon_tf.training import strategies
from atcon_tf.training.trainer import named_variables
from atcon_tf.training.trainer import Trainer
from tests.refusals import refused

# Cat, dog, sofa.
LABEL = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0]])


def test_partners_by_hand():
  among = [a.tolist() for a in label_pairs.partners(LABEL)]
  # The cats 0 and 4 share their label with each other and with 1, whose dog
  # makes one difference more.
  assert among[0] == among[4] == [1]
  # Cat and dog share a label with 0, 3 and 4; dog and sofa have one beyond,
  # as they have beyond dog and sofa.
  assert among[1] == [3]
  assert among[2] == [3]
  assert among[3] == [1]


def test_an_image_that_shares_nothing_takes_any_other():
  among = label_pairs.partners([[1, 0, 0], [0, 1, 0], [0, 1, 0]])
  assert among[0].tolist() == [1, 2] and among[1].tolist() == [2]


def test_no_image_shares_a_label():
  with pytest.raises(UserError, match="no two of the 3 labelled images share"):
    label_pairs.partners(np.eye(3))


def _drawn():
  """Images that carry their number in their colour."""
  records = [data.Record(str(i), lambda i=i: np.full(
      [16, 16, 3], 10 * i, np.uint8), LABEL[i].astype(np.float32))
      for i in range(len(LABEL))]
  return image_store.Images(records, 16), records


def _numbers(pixels):
  return np.round(pixels.numpy()[:, 0, 0, 0] * 25.5).astype(int)


def test_batches_are_of_pairs_and_of_the_seed():
  images, records = _drawn()
  config = Config(objective="laso", batch_size=3, augment=(), seed=5).resolve()
  first, again, later = (
      list(label_pairs.training_batches(images, records, config, 1, start, 6))
      for start in (0, 0, 4))
  assert len(first) == 6 and len(later) == 2
  for one, two in [*zip(first, again), *zip(first[4:], later)]:
    assert set(one) == {"image", "label", "other_image", "other_label"}
    for name in one:
      np.testing.assert_array_equal(one[name], two[name])
  among = label_pairs.partners(LABEL)
  alone = pipeline.training_batches(images, records, 3, 5, 1, 0, 6)
  for batch, supervised in zip(first, alone):
    # The first images are those that a supervised run sees.
    for name in supervised:
      np.testing.assert_array_equal(batch[name], supervised[name])
    ours, others = _numbers(batch["image"]), _numbers(batch["other_image"])
    assert all(j in among[i] for i, j in zip(ours, others))
    np.testing.assert_array_equal(batch["other_label"], LABEL[others])
    assert np.all((batch["label"] * batch["other_label"]).numpy().max(1))


def _classifier(classes=3):
  keras.utils.set_random_seed(0)
  return models.build("tiny_cnn", classes, image_size=32,
                      prior=[.3] * classes)


def _batch(number=0, size=4):
  rng = np.random.default_rng(number)
  made = {}
  for name in ("", "other_"):
    made[f"{name}image"] = tf.constant(
        rng.uniform(size=[size, 32, 32, 3]), keras.config.floatx())
    made[f"{name}label"] = tf.constant(
        rng.uniform(size=[size, 3]) < .5, keras.config.floatx())
  return made


def test_the_flags_have_the_same_defaults():
  defaults = Laso()
  assert laso.WEIGHTS == {
      name: getattr(defaults, f"{name}_weight") for name in laso.WEIGHTS}


def test_terms_of_networks_that_say_nothing():
  """Last layers of zeros: every made feature is 0, its logits the bias."""
  classifier = _classifier()
  loss = laso.Laso(classifier, 8)
  for model in loss.networks.values():
    for variable in model.get_layer("dense3").variables:
      variable.assign(tf.zeros_like(variable))
  batch = _batch()
  terms = {name: value.numpy() for name, (value, _) in
           loss.call(batch).items()}
  a, b = batch["label"].numpy(), batch["other_label"].numpy()
  p = 1 / (1 + np.exp(-classifier.head_variables[1].numpy()))

  def entropy(label):  # of the prior
    return -np.mean(label * np.log(p) + (1 - label) * np.log(1 - p), -1)

  either, both = np.maximum(a, b), a * b
  alone = entropy(a - both) + entropy(b - both)
  for name, expected in {
      "class_union": 4 * entropy(either),  # two of each order
      "class_intersection": 4 * entropy(both),
      "class_subtraction": 4 * alone,
      "class_fake": entropy(a) + entropy(b),
      "recon_union": np.zeros(4), "recon_intersection": np.zeros(4),
      "recon_subtraction": np.zeros(4)}.items():
    np.testing.assert_allclose(terms[name], expected, rtol=1e-5, atol=1e-7)
  features = [loss.embed(classifier.normalize(batch[name])).numpy()
              for name in ("image", "other_image")]
  np.testing.assert_allclose(
      terms["recon_fake"], sum(np.mean(f ** 2, -1) for f in features),
      rtol=1e-5)
  logits = [classifier.model(batch[name]).numpy()
            for name in ("image", "other_image")]
  np.testing.assert_allclose(
      terms["class_embed"], sum(
          np.mean(np.logaddexp(0, z) - y * z, -1)
          for z, y in zip(logits, (a, b))), rtol=1e-5)


def _trainer(optimizer, **options):
  classifier = _classifier()
  return Trainer(
      classifier, {"supervised": laso.Laso(classifier, 8)},
      {k: optimizer() for k in ("backbone", "head")}, **options)


def test_a_step_trains_the_networks_and_the_classifier():
  """The subtraction too, whose own terms are not in the loss."""
  trainer = _trainer(lambda: keras.optimizers.SGD(0.1))
  loss = trainer.objectives["supervised"]
  variables = [*loss.variables, *trainer.classifier.model.trainable_variables]
  assert len(loss.variables) == 3 * 10 and len(loss.state) == 3 * 4
  before = [v.numpy() for v in variables]
  state = [v.numpy() for v in loss.state]
  logs = trainer.run({"supervised": _batch()})
  for old, variable in zip(before, variables):
    assert not np.array_equal(old, variable.numpy()), variable.path
  for old, variable in zip(state, loss.state):
    np.testing.assert_array_equal(old, variable.numpy())
  assert logs["loss"] == pytest.approx(sum(
      logs[name] for name in laso.WEIGHTS if "subtraction" not in name))


def test_batch_statistics_of_the_networks():
  trainer = _trainer(lambda: keras.optimizers.SGD(0.1), batch_norm="train")
  state = trainer.objectives["supervised"].state
  before = [v.numpy() for v in state]
  trainer.run({"supervised": _batch()})
  assert all(not np.array_equal(old, v.numpy())
             for old, v in zip(before, state))


def test_one_and_two_replicas_agree(float64):
  def trained(devices):
    with strategies.make(devices=devices).scope():
      trainer = _trainer(lambda: keras.optimizers.SGD(0.1, momentum=.9))
    logs = [trainer.run({"supervised": _batch(i, 3)}) for i in range(2)]
    variables = named_variables(trainer).values()
    return logs, [v.numpy() for v in variables]

  one, two = trained(["/cpu:0"]), trained(["/cpu:0", "/cpu:1"])
  for a, b in zip(one[0], two[0]):
    assert a == pytest.approx(b, abs=1e-9)
  for a, b in zip(one[1], two[1]):
    np.testing.assert_allclose(a, b, atol=1e-9, rtol=0)


def _tiny(**changes):
  return Config(**{**dict(
      objective="laso", dataset="shapes", image_size=16, shots=2, steps=4,
      eval_every=2, checkpoint_every=1, bootstrap=0, summary_images=0,
      batch_size=4, set_units=16), **changes}).resolve()


def test_interrupted_and_started_again_a_run_ends_the_same(
    tmp_path, monkeypatch):
  """Networks and their moments included."""
  whole = training.train_and_evaluate(_tiny(), tmp_path / "whole")
  run = Trainer.step
  left = iter(range(3))

  def interrupted(trainer, batches):
    if next(left, None) is None:
      raise KeyboardInterrupt
    return run(trainer, batches)

  monkeypatch.setattr(Trainer, "step", interrupted)
  with pytest.raises(KeyboardInterrupt):
    training.train_and_evaluate(_tiny(), tmp_path / "again")
  monkeypatch.undo()
  again = training.train_and_evaluate(_tiny(), tmp_path / "again")
  for part in ("val", "test", "history", "thresholds", "steps"):
    assert again[part] == whole[part], part
  assert whole["steps"] == {"supervised": 4, "consistency": 0,
                            "best": whole["steps"]["best"]}
  assert 0 <= whole["test"]["map_macro"] <= 1
  first, second = (np.load(tmp_path / name / "checkpoints/last.npz")
                   for name in ("whole", "again"))
  assert {f"supervised/{i}" for i in range(3 * 14)} <= set(first.files)
  for name in set(first.files) - {"progress.json"}:
    np.testing.assert_array_equal(first[name], second[name], err_msg=name)
  assert runs.load(tmp_path / "again").classifier.num_classes == 6


def test_one_label_an_image(tmp_path):
  for i in range(12):
    path = tmp_path / "data" / ("cat" if i % 2 else "dog") / f"{i}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", [32, 32], (20 * i, 0, 0)).save(path)
  with pytest.raises(UserError, match="objective='laso': works on sets of "
                     "labels, and the images of dataset=folder have one"):
    training.train_and_evaluate(
        _tiny(dataset="folder", data_dir=str(tmp_path / "data"),
              model="tiny_cnn"), tmp_path / "w")


@pytest.mark.parametrize("changes, line", [
    (dict(single_label_only=True), "--single_label_only=True: not used with "
     "--objective=laso"),
    (dict.fromkeys((f"{name}_weight" for name in laso.WEIGHTS), 0.0),
     "--class_embed_weight=0: one of class_embed_weight, "),
    (dict(consistency_weight=.5), "--consistency_weight=0.5: not used with "
     "--objective=laso"),
    (dict(objective="atcon", set_units=16), "--set_units=16: not used with "
     "--objective=atcon")])
def test_settings_that_do_not_fit(changes, line):
  with refused(line):
    _tiny(**changes)


def test_a_head_that_is_no_dense_layer():
  images = keras.Input([32, 32, 3])
  x = keras.layers.Conv2D(3, 3, activation="relu")(images)
  model = keras.Model(images, keras.layers.GlobalAveragePooling2D(
      name="mean")(x))
  with pytest.raises(UserError, match="the logits come from mean"):
    laso.Laso(models.wrap(model), 8)

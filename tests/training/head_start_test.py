"""Heads that begin as probes: whole runs on the drawn shapes, and refusals."""

import json
import types

import numpy as np
import PIL.Image
import pytest
from sklearn import metrics
import tensorflow as tf

from atcon_tf.config import UserError
from atcon_tf.evaluation.predictor import Predictor
from atcon_tf.objectives import rank_labels
from atcon_tf import runs
from atcon_tf.runs import run_data
from atcon_tf.runs import stored_predictions
from atcon_tf import training
from atcon_tf.training import head_start
from atcon_tf.training import loop
from atcon_tf.training import one_run
from atcon_tf.training import probe
from atcon_tf.training.run_state import RunState
from tests.training.probe_runs import SELF_TRAINING
from tests.training.probe_runs import begun
from tests.training.probe_runs import by_sklearn
from tests.training.probe_runs import config_of
from tests.training.probe_runs import head_of
from tests.training.probe_runs import part_of
from tests.training.probe_runs import pooled
from tests.training.probe_runs import unit_length
from tests.training.probe_runs import unit_of_views


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
  """Folder of a run of each objective that takes no steps."""
  root = tmp_path_factory.mktemp("probes")
  for objective in ("probe", "ranked_probe"):
    training.train_and_evaluate(config_of(objective), root / objective)
  return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """Folder of a run of self-training from a ranked probe."""
  path = tmp_path_factory.mktemp("whole") / "run"
  training.train_and_evaluate(config_of(**SELF_TRAINING), path)
  return path


@pytest.mark.parametrize("objective", ["probe", "ranked_probe"])
def test_a_run_without_steps(probes, objective):
  result = json.loads((probes / objective / "result.json").read_text())
  assert result["steps"] == {"supervised": 0, "consistency": 0, "best": 0}
  assert [row["step"] for row in result["history"]] == [0]
  assert result["history"][0]["val_map_macro"] == pytest.approx(
      result["val"]["map_macro"])
  assert "supervised" not in result["history"][0]
  # Of random features and twelve images: better than chance.
  label = stored_predictions.load_predictions(probes / objective)["label"]
  assert result["test"]["map_macro"] > label.mean()


@pytest.mark.parametrize("objective", ["probe", "ranked_probe"])
def test_a_loaded_probe_gives_the_same_probabilities(probes, objective):
  run = runs.load(probes / objective)
  records, images = run_data.load_part(run, "test")
  logits = Predictor(run.classifier, run.multi_label).logits(images, records)
  np.testing.assert_allclose(
      1 / (1 + np.exp(-logits.astype(np.float64))),
      stored_predictions.load_predictions(run.path)["probability"],
      atol=1e-5)


def test_the_pool_changes_the_probe(probes):
  one, other = (stored_predictions.load_predictions(probes / o)["probability"]
                for o in ("probe", "ranked_probe"))
  assert np.abs(one - other).max() > .05


def test_a_probe_is_that_of_scikit_learn(probes):
  """From the maps of the loaded network on; nothing of `probe.py` is used."""
  run = runs.load(probes / "probe")
  records, images = run_data.load_part(run, "train_labeled")
  label = np.stack([r.label for r in records])
  features = unit_of_views(run.classifier, images.batch(records))
  records, images = run_data.load_part(run, "test")
  test = unit_length(pooled(run.classifier, images.batch(records)))
  want = by_sklearn(features, label, test)
  found = stored_predictions.load_predictions(run.path)["probability"]
  np.testing.assert_allclose(found, want, atol=1e-4)
  truth = np.stack([r.label for r in records])
  ours, theirs = (metrics.average_precision_score(truth, p)
                  for p in (found, want))
  assert abs(ours - theirs) < .002
  assert found.std(0).min() > .01


def test_features_are_those_of_the_last_dense_layer(tmp_path):
  prepared = begun(config_of(start="probe"), tmp_path)
  records = prepared.data.records["train_labeled"]
  pixels, _ = part_of(prepared.data, "train_labeled")
  plain = unit_length(pooled(prepared.classifier, pixels))
  both = unit_of_views(prepared.classifier, pixels)
  assert np.abs(plain - both).max() > .01
  for views, want in [("plain", plain), ("flip", both)]:
    reader = head_start.Features(prepared.classifier, views, 5)
    found = reader(prepared.data.images, records)
    np.testing.assert_allclose(found, want, atol=1e-4)
    assert reader.scale(found) == 1


def test_the_views_of_an_image():
  image = np.arange(2 * 16 * 8 * 3, dtype=np.float32).reshape(2, 16, 8, 3)
  (plain,) = head_start.views_of(tf.constant(image), "plain")
  np.testing.assert_array_equal(plain, image)
  np.testing.assert_array_equal(
      head_start.views_of(tf.constant(image), "flip")[1], image[:, :, ::-1])
  five = head_start.views_of(tf.constant(image), "five")
  assert [v.shape for v in five] == [image.shape] * 5
  # The corners of the corner views are those of the image.
  for view, (row, column) in zip(five, [(0, 0), (0, -1), (-1, 0), (-1, -1)]):
    np.testing.assert_allclose(view[:, row, column], image[:, row, column])
  # 7/8 of 16 by 8 is 14 by 7: the middle begins one row further down.
  np.testing.assert_allclose(five[4][:, 0, 0], image[:, 1, 0])


def test_a_linear_head_is_the_scaled_fit(tmp_path, capsys):
  """Raw features, scaled to a mean length of 10 while the head is fitted."""
  prepared = begun(config_of(start="probe", head="linear"), tmp_path)
  assert "probe of 12 labelled images: C 0.3, " in capsys.readouterr().out
  pixels, label = part_of(prepared.data, "train_labeled")
  features = np.mean([pooled(prepared.classifier, view) for view in (
      pixels, pixels[:, :, ::-1])], 0)
  scale = 10 / np.linalg.norm(features, axis=1).mean()
  pixels, _ = part_of(prepared.data, "val")
  val = pooled(prepared.classifier, pixels)
  want = by_sklearn(scale * features, label, scale * val)
  found = tf.sigmoid(prepared.classifier.model(pixels))
  np.testing.assert_allclose(found, want, atol=1e-3)


def test_the_ranked_start_is_the_ranked_probe(tmp_path, capsys):
  """Its prior is counted on the validation images."""
  prepared = begun(config_of(**SELF_TRAINING), tmp_path)
  assert ("probe of 12 labelled images, 40 unlabelled ones by their ranks: "
          "C 0.3") in capsys.readouterr().out
  pixels, label = part_of(prepared.data, "train_labeled")
  pool, _ = part_of(prepared.data, "train_unlabeled")
  reader = head_start.Features(prepared.classifier, "flip", 32)
  records = prepared.data.records
  own, others = (reader(prepared.data.images, records[part])
                 for part in ("train_labeled", "train_unlabeled"))
  prior = part_of(prepared.data, "val")[1].mean(0)
  np.testing.assert_allclose(prepared.class_prior, prior)
  want = probe.fit_ranked(own, label, others, prior)
  kernel, bias = head_of(prepared)
  np.testing.assert_allclose(kernel, want.coefficients, atol=1e-4)
  np.testing.assert_allclose(bias, want.bias, atol=1e-4)
  assert np.abs(kernel - probe.fit(own, label).coefficients).max() > .01
  assert len(pool) == 40


def test_kept_features_give_the_same_head_without_the_network(
    tmp_path, monkeypatch):
  kept = dict(start="probe", feature_cache=str(tmp_path / "features"))
  first = begun(config_of(**kept), tmp_path)
  assert len(list((tmp_path / "features").iterdir())) == 1
  monkeypatch.setattr(head_start.pipeline, "evaluation_batches", None)
  again = begun(config_of(**kept), tmp_path)
  for one, other in zip(head_of(first), head_of(again)):
    np.testing.assert_array_equal(one, other)


def test_the_first_pseudo_labels_are_the_ranked_probes(tmp_path):
  config = config_of(**SELF_TRAINING)
  state = RunState()
  prepared = begun(config, tmp_path, state)
  pool = head_start.Features(prepared.classifier, "flip", 32)(
      prepared.data.images, prepared.data.records["train_unlabeled"])
  kernel, bias = head_of(prepared)
  sizes = rank_labels.class_sizes(prepared.class_prior, len(pool),
                                  config.pseudo_share)
  want, _ = rank_labels.rank_labels(pool @ kernel + bias, sizes)
  np.testing.assert_array_equal(state.pseudo_labels.label, want)
  assert state.pseudo_labels.updates == state.pseudo_labels.first == 0


def test_the_strength_is_what_is_asked_or_chosen(tmp_path, capsys):
  small = begun(config_of(start="probe", probe_strength=.01), tmp_path)
  assert "C 0.01" in capsys.readouterr().out
  chosen = begun(config_of(start="probe", probe_strength=0.), tmp_path)
  records = chosen.data.records["train_labeled"]
  features = head_start.Features(chosen.classifier, "flip", 32)(
      chosen.data.images, records)
  label = np.stack([r.label for r in records])
  strength = probe.choose_strength(features, label, seed=0)
  assert f"C {strength:g}," in capsys.readouterr().out
  want = probe.fit(features, label, strength=strength)
  np.testing.assert_allclose(head_of(chosen)[0], want.coefficients, atol=1e-4)
  assert np.linalg.norm(head_of(small)[0]) < np.linalg.norm(head_of(chosen)[0])


# The prior of classes.


def _shares(tmp_path, text):
  path = tmp_path / "prior.json"
  path.write_text(text)
  return config_of(**SELF_TRAINING, class_prior=str(path))


TWO = types.SimpleNamespace(class_names=("disk", "ring"), records={})


def test_a_file_gives_the_prior(tmp_path):
  """In the order of the data; more classes than these may stand there."""
  config = _shares(tmp_path, '{"star": 0.9, "ring": 0.25, "disk": 0.1}')
  np.testing.assert_array_equal(head_start.class_prior(config, TWO),
                                [.1, .25])


@pytest.mark.parametrize("text, why", [
    ('{"disk": 0.1}', "KeyError: 'ring'; must be a JSON file {class name: "
     "share of images}"),
    ("disk: 0.1", "JSONDecodeError: Expecting value.*; must be a JSON file"),
    ("[0.1, 0.2]", "TypeError: .*; must be a JSON file"),
    ('{"disk": 0.1, "ring": "many"}', "ValueError: .*; must be a JSON file"),
    ('{"disk": 0.1, "ring": null}', "TypeError: .*; must be a JSON file"),
    ('{"disk": 0.1, "ring": 0}', "each share must lie between 0 and 1"),
    ('{"disk": 1, "ring": 0.2}', "each share must lie between 0 and 1"),
    ('{"disk": -0.1, "ring": 0.2}', "each share must lie between 0 and 1"),
    ('{"disk": NaN, "ring": 0.2}', "each share must lie between 0 and 1")])
def test_wrong_priors_are_one_line(tmp_path, text, why):
  config = _shares(tmp_path, text)
  with pytest.raises(UserError, match=f"^class_prior='.*': {why}") as caught:
    head_start.class_prior(config, TWO)
  assert "\n" not in str(caught.value)
  assert caught.value.as_flags().startswith("--class_prior=")


def test_a_prior_that_is_not_there_is_one_line(tmp_path):
  config = config_of(**SELF_TRAINING, class_prior=str(tmp_path / "none.json"))
  with pytest.raises(UserError, match="class_prior='.*none.json': "
                     "FileNotFoundError"):
    one_run.prepare(config, tmp_path / "splits.json")


def test_a_run_ranks_by_the_prior_of_the_file(tmp_path):
  names = ("disk", "ring", "triangle", "square", "cross", "star")
  config = _shares(tmp_path, json.dumps(dict.fromkeys(names, .9)))
  prepared = one_run.prepare(config, tmp_path / "splits.json")
  np.testing.assert_array_equal(prepared.class_prior, [.9] * 6)
  objective = prepared.trainer.objectives["consistency"]
  label, _ = objective.pseudo_labels(np.random.default_rng(0).normal(
      size=[40, 6]))
  np.testing.assert_array_equal(label.sum(0), 18)  # half of 36


# Self-training from there.


def test_pseudo_labels_are_there_at_the_first_step(tmp_path):
  prepared = begun(config_of(**SELF_TRAINING), tmp_path)
  pool = prepared.data.records["train_unlabeled"]
  logits = prepared.predictor.logits(prepared.data.images, pool)
  want = rank_labels.rank_labels(logits, rank_labels.class_sizes(
      prepared.class_prior, 40, .5))
  assert prepared.plan == [("supervised", "consistency")] * 4
  state = RunState()
  kinds, logs = next(prepared.steps(state))
  assert kinds == ("supervised", "consistency") and logs["pseudo"] > 0
  assert state.pseudo_labels.updates == state.pseudo_labels.first == 0
  np.testing.assert_array_equal(state.pseudo_labels.label, want[0])
  np.testing.assert_array_equal(state.pseudo_labels.weight, want[1])


def test_a_run_in_the_place_of_another_has_its_own_prior(tmp_path):
  """Of a study's next seed, whose validation images are others."""
  lists = {"train": range(60), "test": range(60, 70)}
  for name, numbers in lists.items():
    (tmp_path / f"{name}.txt").write_text("".join(
        f"{i}.png {'cat' if i % 3 else 'dog'}\n" for i in numbers))
    for i in numbers:
      PIL.Image.new("RGB", [32, 32], (3 * i, 0, 0)).save(tmp_path / f"{i}.png")
  options = dict(**SELF_TRAINING, dataset="image_list", unlabeled="20",
                 model="tiny_cnn", data_dir=str(tmp_path),
                 train_list=str(tmp_path / "train.txt"),
                 test_list=str(tmp_path / "test.txt"))
  first = one_run.prepare(config_of(**options), tmp_path / "0.json")
  second = one_run.prepare(config_of(**options, seed=1),
                           tmp_path / "1.json", first)
  prior = part_of(second.data, "val")[1].mean(0)
  assert np.abs(prior - part_of(first.data, "val")[1].mean(0)).max() > .01
  np.testing.assert_array_equal(second.class_prior, prior)
  np.testing.assert_array_equal(
      second.trainer.objectives["consistency"].class_prior, prior)


def test_only_the_last_stage_and_the_head_are_trained(tmp_path):
  prepared = begun(config_of(**SELF_TRAINING), tmp_path)
  before = {v.path: v.numpy() for v in prepared.classifier.model.variables}
  next(prepared.steps(RunState()))
  moved = {v.path for v in prepared.classifier.model.variables
           if not np.array_equal(before[v.path], v.numpy())}
  assert moved == {"conv4/kernel", "conv4/bias", "logits/kernel",
                   "logits/bias"}


def test_history_has_the_start_and_the_refit(whole):
  result = json.loads((whole / "result.json").read_text())
  history = result["history"]
  assert [row["step"] for row in history] == [0, 2, 4, 4]
  assert "pseudo" not in history[0] and history[1]["pseudo"] > 0
  scores = [row["val_map_macro"] for row in history]
  best = int(np.argmax(scores))
  assert result["steps"]["best"] == [0, 2, 4, 4][best]
  assert result["steps"].get("best_is_refit", False) == (best == 3)
  assert result["val"]["map_macro"] == pytest.approx(max(scores))
  assert result["val"]["map_macro"] >= scores[0]
  # The refit is that of the trained features.
  assert history[3] != history[2] and scores[3] != scores[0]


def test_stopped_after_the_start_and_after_training(whole, tmp_path,
                                                    monkeypatch):
  """Continued, it fits no head twice, and every number is the same."""
  class Stopped(Exception):
    pass

  def stop(*args):
    raise Stopped

  fits, begin = [], head_start.begin

  def spy(*args, **options):
    fits.append(options)
    return begin(*args, **options)

  monkeypatch.setattr(head_start, "begin", spy)
  for where in ("_loop", "_refit"):
    with monkeypatch.context() as patch:
      patch.setattr(loop.Training, where, stop)
      with pytest.raises(Stopped):
        training.train_and_evaluate(config_of(**SELF_TRAINING),
                                    tmp_path / "run")
    assert len(fits) == 1
  assert not (tmp_path / "run" / "result.json").exists()
  training.train_and_evaluate(config_of(**SELF_TRAINING),
                                    tmp_path / "run")
  assert len(fits) == 2  # the refit
  again, first = (json.loads((path / "result.json").read_text())
                  for path in (tmp_path / "run", whole))
  for part in ("val", "test", "history", "thresholds", "steps"):
    assert again[part] == first[part], part


def test_a_run_ends_where_it_began_if_training_spoils_it(tmp_path):
  result = training.train_and_evaluate(config_of(
      start="probe", learning_rate=3., head_learning_rate=30., steps=2,
      eval_every=1), tmp_path / "run")
  scores = [row["val_map_macro"] for row in result["history"]]
  assert len(scores) == 3 and max(scores[1:]) < scores[0]
  assert result["steps"]["best"] == 0
  assert result["val"]["map_macro"] == pytest.approx(scores[0])


# A user's own network.

"""The sanity checks: by hand, and by the command."""

import json
import subprocess
import sys

import numpy as np
import pytest

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf import data
from atcon_tf.evaluation import cases
from atcon_tf.evaluation import leaderboard
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation import random_weights
from atcon_tf.evaluation import randomization
from atcon_tf import models
from atcon_tf.reports import leaderboard_page
from atcon_tf.reports import map_tables
from atcon_tf.runs import run_data
from atcon_tf import training
from tests import quiet_process
from tests.conftest import ROOT
from tests.refusals import refused

SIZE = 32


@pytest.fixture(scope="module")
def classifier():
  return models.build("tiny_cnn", 3, image_size=SIZE)


@pytest.fixture(scope="module")
def pairs():
  """Five images, each with the box of its left half and no mask."""
  images = np.random.default_rng(0).uniform(size=[5, SIZE, SIZE, 3])
  return cases.Cases(
      list("abcde"), images.astype(np.float32), np.array([0, 1, 2, 0, 1]),
      [np.array([[0, 0, .5, 1]])] * 5,
      np.full([5, SIZE, SIZE], 255, np.uint8))


def test_finished_methods_are_found_again_for_the_same_weights_only(
    classifier, pairs, tmp_path):
  judge = lambda model: leaderboard.judge(
      model, pairs, ["gradient"], ["sparseness"], folder=tmp_path, samples=0)
  first = judge(classifier)
  stored = json.loads((tmp_path / "gradient.json").read_text())
  stored["row"]["scores"]["sparseness"] = [0.25] * 5
  (tmp_path / "gradient.json").write_text(json.dumps(stored))
  assert judge(classifier)["methods"]["gradient"]["sparseness"] == 0.25
  other = models.build("tiny_cnn", 3, image_size=SIZE)
  again = judge(other)["methods"]["gradient"]["sparseness"]
  assert again != 0.25 and again != first


# The sanity checks.


def test_stages_hold_every_variable_once_from_the_logits_down(classifier):
  stages = random_weights.stages(classifier)
  assert list(stages)[0] == "logits" and list(stages)[-1] == "100%"
  ids = [id(v) for group in stages.values() for v in group]
  assert sorted(ids) == sorted(id(v) for v in classifier.model.variables)
  kernel, bias = stages["logits"]
  assert kernel.shape[1:] == bias.shape == (3,)  # the classes


def test_shuffled_weights_are_the_same_numbers_and_come_back(classifier):
  variable = classifier.model.variables[0]
  before = variable.numpy()
  with pytest.raises(KeyError), random_weights.restored([variable]):
    random_weights.shuffle([variable], 0)
    assert (variable.numpy() != before).any()
    np.testing.assert_array_equal(np.sort(variable.numpy().ravel()),
                                  np.sort(before.ravel()))
    raise KeyError
  np.testing.assert_array_equal(variable.numpy(), before)


def test_a_map_that_sees_no_network_fails(classifier, pairs):
  before = classifier.model.get_weights()
  board = randomization.judge(classifier, pairs, ["grad_cam", "(centre)"],
                              other=classifier, slow_limit=2)
  centre = board["methods"]["(centre)"]
  np.testing.assert_allclose(list(centre["parameters"].values()), 1)
  assert centre["parameters_verdict"] == centre["labels_verdict"] == "fails"
  cam = board["methods"]["grad_cam"]
  assert list(cam["parameters"]) == board["stages"]
  assert cam["parameters"]["100%"] < 0.9
  assert cam["labels"] == pytest.approx(1)  # of the very same network
  for a, b in zip(before, classifier.model.get_weights()):
    np.testing.assert_array_equal(a, b)
  assert "independent" not in cam
  lines = map_tables.randomization(board).splitlines()
  assert lines[-1].startswith("(centre)") and lines[-1].endswith("fails")


def test_each_stage_alone(classifier, pairs):
  board = randomization.judge(classifier, pairs, ["gradient"],
                              independent=True)
  row = board["methods"]["gradient"]
  alone, together = row["independent"], row["parameters"]
  assert list(alone) == list(together) == board["stages"]
  assert alone["logits"] == together["logits"]
  assert alone["100%"] != together["100%"]
  lines = map_tables.randomization(board).splitlines()
  assert "each alone" in lines and lines[-1].startswith("gradient")


def test_random_weights_as_a_score(classifier, pairs):
  before = classifier.model.get_weights()
  board = leaderboard.judge(classifier, pairs, ["gradient", "(centre)"],
                            ["random_weights"], samples=20)
  row = board["methods"]["gradient"]
  assert -1 <= row["random_weights"] < .9 and "random_weights" in row["ci90"]
  assert board["methods"]["(centre)"]["random_weights"] == pytest.approx(1)
  for a, b in zip(before, classifier.model.get_weights()):
    np.testing.assert_array_equal(a, b)
  lines = leaderboard_page.leaderboard_table(board).splitlines()
  assert lines[0].split()[:2] == ["method", "sanity"]
  assert lines[-1].split()[:2] == ["(centre)", "fails"]


def test_random_labels_are_those_of_the_others():
  records = [data.Record(str(i), "", np.eye(10, dtype=np.float32)[i])
             for i in range(10)]
  one, again, other = (run_data.shuffled(records, s) for s in (0, 0, 1))
  labels = lambda by_id: [int(by_id[r.id].label.argmax()) for r in records]
  assert labels(one) == labels(again) != labels(other)
  assert sorted(labels(one)) == list(range(10)) != labels(one)


# The command.


@pytest.fixture(scope="module")
def random_run(tmp_path_factory):
  """A run like `tiny_run` whose labels were random."""
  path = tmp_path_factory.mktemp("random") / "run"
  result = training.train_and_evaluate(Config(
      dataset="shapes", shots=2, steps=4, eval_every=2, bootstrap=0,
      summary_images=0, unlabeled="40", batch_size=4, objective="supervised",
      random_labels=True).resolve(), path)
  assert result["steps"]["best"] == 4  # the last weights
  return path


def _command(*arguments):
  return subprocess.run(
      [sys.executable, "-m", "atcon_tf.evaluate", *arguments],
      capture_output=True, text=True, check=False)


def test_sanity_of_a_run(tiny_run, random_run, tmp_path):
  out = tmp_path / "sanity.json"
  done = _command(f"--workdir={tiny_run}", "--methods=grad_cam,(centre)",
                  "--metrics=sanity", f"--random_model={random_run}",
                  "--images=4", f"--out={out}")
  quiet_process.output(done)
  board = json.loads(out.read_text())
  assert set(board["methods"]) == {"grad_cam", "(centre)"}
  assert board["methods"]["(centre)"]["labels_verdict"] == "fails"
  assert board["passes_below"] == 0.3 and board["fails_above"] == 0.6
  assert "atcon_tf.evaluate" in board["command"]
  assert f"below {board['passes_below']}" in done.stdout


def test_what_a_random_model_may_be(tiny_run, random_run):
  class Run:
    config = Config(model="resnet50")

  with pytest.raises(UserError, match="trained on true labels"):
    randomization.load_other(None, tiny_run)
  with pytest.raises(UserError, match="has another model"):
    Run.path, Run.class_names = "x", ()
    Run.classifier = models.build("tiny_cnn", 2, image_size=SIZE)
    randomization.load_other(Run, random_run)


@pytest.mark.parametrize("flags, message", [
    (["--methods=grad_cam", "--metrics=sanity,road"],
     "--metrics=sanity,road: sanity stands alone"),
    (["--methods=grad_cam", "--random_model=x"],
     "--random_model=x: goes with --metrics=sanity"),
    (["--methods=grad_cam", "--metrics=sanity", "--page=x.md"],
     "--page=x.md: not for --metrics=sanity"),
    (["--metrics=road"], "--metrics=road: needs --methods")])
def test_refused_before_anything_is_read(flags, message):
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.evaluate", "--workdir=none", *flags],
      capture_output=True, text=True, cwd=ROOT)
  assert done.returncode == 2
  assert f"error: {message}" in done.stderr


def test_a_method_that_is_none():
  with refused("--methods=grad_cma: must be one of"):
    method_scores.check_methods(["grad_cma"])

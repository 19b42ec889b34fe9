"""A folder of images without labels: what joins the pool, what is refused."""

import shutil

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.data import registry
from atcon_tf.data import splits
from atcon_tf.evaluation import evaluate_run
from atcon_tf.reports import run_page
from atcon_tf import runs
from atcon_tf.runs import run_data
from atcon_tf import training
from tests.refusals import refused


def draw(path, number):
  """Writes a small noisy picture."""
  path.parent.mkdir(parents=True, exist_ok=True)
  values = np.random.default_rng(number).integers(0, 255, [32, 32, 3])
  PIL.Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """Two classes of ten labelled images, and seven without a label."""
  root = tmp_path_factory.mktemp("unlabeled")
  for number in range(10):
    draw(root / f"photos/cat/{number}.png", number)
    draw(root / f"photos/dog/{number}.png", 50 + number)
  for number in range(4):
    draw(root / f"more/{number}.png", 100 + number)
  for number in range(3):
    draw(root / f"more/january/{number}.png", 200 + number)
  draw(root / "more/.hidden/1.png", 300)
  (root / "more/notes.txt").write_text("not an image")
  return root


def settings(root, **changes):
  return Config(**{**dict(
      dataset="folder", data_dir=str(root / "photos"),
      unlabeled_dir=str(root / "more"), model="tiny_cnn", image_size=32,
      objective="self_training", shots=0, steps=4, bank_every=2, eval_every=2,
      bootstrap=0, summary_images=2, batch_size=4, pseudo_per_class=2),
      **changes}).resolve()


def pool(root, **changes):
  config = settings(root, **changes)
  return splits.make(registry.load(config), config.shots, config.unlabeled,
                     config.split_seed)["train_unlabeled"]


def test_all_images_below_join_the_pool_without_a_label(root):
  found = registry.load(settings(root)).splits["unlabeled"]
  assert [r.id for r in found] == [
      f"unlabeled_dir:{name}" for name in (
          "0.png", "1.png", "2.png", "3.png", "january/0.png",
          "january/1.png", "january/2.png")]
  assert not any(r.label.any() for r in found)
  # Every labelled image is used, and yet there is a pool.
  assert pool(root) == [r.id for r in found]


def test_beside_the_training_images_that_were_not_drawn(root):
  both = pool(root, shots=2)
  assert sum(i.startswith("unlabeled_dir:") for i in both) == 7
  assert len(both) == 7 + 2 * 6 - 4
  few = pool(root, shots=2, unlabeled="5")
  assert len(few) == 5 and set(few) < set(both)


def test_a_run_trains_on_them_and_needs_them_no_more(root, tmp_path):
  away = tmp_path / "away"
  shutil.copytree(root / "more", away)
  run = tmp_path / "run"
  training.train_and_evaluate(settings(root, unlabeled_dir=str(away)), run)
  shutil.rmtree(away)
  run = runs.load(run)
  assert run.result["data"]["train_unlabeled"] == 7
  assert run.result["data"]["train_labeled"] == 12
  again = evaluate_run.evaluate(run)["test"]
  assert again["map_macro"] == pytest.approx(run.result["test"]["map_macro"])
  assert "F1, macro" in run_page.report(run)


@pytest.mark.parametrize("change,line", [
    (dict(unlabeled_dir="absent"), "--unlabeled_dir=absent: no such folder"),
    (dict(unlabeled_dir="photos/cat"),
     "holds image 'cat/0.png', which is also one of the t.* images"),
    (dict(unlabeled_dir="photos"), "which is also one of the"),
    (dict(unlabeled_dir="empty"), "--unlabeled_dir=.*empty: no image in it"),
])
def test_refuses(root, monkeypatch, change, line):
  monkeypatch.chdir(root)
  (root / "empty").mkdir(exist_ok=True)
  with refused(line):
    registry.load(settings(root, **change))


@pytest.mark.parametrize("change,line", [
    (dict(unlabeled="labeled"), "not used with --unlabeled=labeled"),
    (dict(objective="supervised", bank_every=0, pseudo_per_class=0),
     "not used with --objective=supervised"),
])
def test_refuses_what_would_not_use_them(root, change, line):
  with refused(f"--unlabeled_dir=.*{line}"):
    settings(root, **change)


def test_refuses_a_split_that_lists_none_of_them(root, tmp_path):
  stored = tmp_path / "splits.json"
  config = settings(root, unlabeled_dir="", shots=2)
  run_data.load(config, stored)
  with pytest.raises(UserError, match="unlabeled_dir=.*lists none"):
    run_data.load(settings(root, shots=8, splits=str(stored)),
                  tmp_path / "new.json")


def test_links_are_followed_and_seen_through(root, tmp_path):
  more = tmp_path / "more"
  more.mkdir()
  (more / "january").symlink_to(root / "more")
  (more / "round").symlink_to(more)
  data = registry.load(settings(root, unlabeled_dir=str(more)))
  assert len(data.splits["unlabeled"]) == 7
  (more / "one.png").symlink_to(root / "photos/cat/0.png")
  with pytest.raises(UserError, match="holds image 'cat/0.png'"):
    registry.load(settings(root, unlabeled_dir=str(more)))


def test_its_split_serves_a_run_without_a_pool(root, tmp_path):
  stored = tmp_path / "splits.json"
  first = run_data.load(settings(root, shots=2), stored)
  pool = first.records["train_unlabeled"]
  again = run_data.load(settings(
      root, objective="supervised", bank_every=0, pseudo_per_class=0,
      unlabeled_dir="", shots=8, splits=str(stored)), tmp_path / "new.json")
  assert [r.id for r in again.records["train_labeled"]] == [
      r.id for r in first.records["train_labeled"]]
  # Only what is used is read.
  assert all(r.id in first.images for r in pool)
  assert not any(r.id in again.images
                 for r in again.records["train_unlabeled"])

"""Methods side by side: which class, which scores, what is written."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import PIL.Image
import pytest

from atcon_tf import attribution
from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf import data
from atcon_tf.data import image_store
from atcon_tf.evaluation import cases
from atcon_tf.evaluation import leaderboard
from atcon_tf.evaluation.metrics import faithfulness
from atcon_tf import models
from atcon_tf.models import explanation_head
from atcon_tf.reports import leaderboard_page
from atcon_tf import training
from tests import quiet_process
from tests.conftest import ROOT

PERCENT = {"": 0, "_50": .5, "_15": .85}


@pytest.fixture(name="classifier", scope="module")
def _classifier():
  keras.utils.set_random_seed(1)
  return models.build("tiny_cnn", 3, image_size=32)


def _images(count=5):
  """Records of noise with two labels each, and their pixels."""
  made = [data.Record(
      f"{i}", lambda i=i: np.random.default_rng(i).integers(
          256, size=[32, 32, 3]).astype(np.uint8),
      np.array([1, 1, 0], np.float32)) for i in range(count)]
  return made, image_store.Images(made, 32)


def test_drop_and_increase_are_those_of_the_image_in_0_to_1(classifier):
  """As TAME's authors mask: before the normalisation, by hand."""
  records, images = _images()
  pairs = cases.cases_of(classifier, records, images, "prediction")
  metrics = [name + end for name in ("average_drop",
                                     "increase_in_confidence")
             for end in PERCENT]
  row = leaderboard.judge(classifier, pairs, ["grad_cam"], metrics,
                          multi_label=False, samples=0)["methods"]["grad_cam"]
  x, target = pairs.images, pairs.class_index
  softmax = lambda images: keras.ops.softmax(
      classifier.model(images)).numpy()[np.arange(len(x)), target]
  heat = attribution.enlarge(classifier, attribution.explain(
      classifier, x, "grad_cam", target)).numpy()
  whole = softmax(x)
  for end, dropped in PERCENT.items():
    mask = faithfulness.keep_top(faithfulness.unit(heat), dropped)
    masked = softmax((x * mask[..., None]).astype(np.float32))
    assert row["average_drop" + end] == pytest.approx(
        100 * np.mean(np.maximum(whole - masked, 0) / whole), rel=1e-3)
    assert row["increase_in_confidence" + end] == 100 * np.mean(
        masked > whole)
  assert row["forward_passes"] == 1 and row["images_a_second"] > 0


@pytest.mark.parametrize("method", ["guided_backprop", "cam"])
def test_noisy_images_are_explained_by_methods_that_check_the_network(
    classifier, method):
  records, images = _images(2)
  pairs = cases.cases_of(classifier, records, images, "prediction")
  row = leaderboard.judge(classifier, pairs, [method], ["max_sensitivity"],
                          False, samples=0)["methods"][method]
  assert np.isfinite(row["max_sensitivity"]) and row["max_sensitivity"] > 0


def test_which_class_is_explained(classifier):
  records, images = _images()
  logits = classifier.model(images.pixels.astype(np.float32) / 255).numpy()
  chosen = lambda target: cases.cases_of(
      classifier, records, images, target).class_index.tolist()
  assert chosen("prediction") == logits.argmax(-1).tolist()
  assert chosen("label") == logits[:, :2].argmax(-1).tolist()
  with pytest.raises(UserError, match="target='box': these data have no"):
    chosen("box")
  boxes = np.array([[0, 0, .5, .5], [0, 0, 1, .6]], np.float32)
  records[3] = dataclasses.replace(records[3], boxes=boxes,
                                   box_label=np.array([0, 2]))
  pairs = cases.cases_of(classifier, records, images, "box")
  assert pairs.ids == ["3"] and pairs.class_index.tolist() == [2]
  np.testing.assert_array_equal(pairs.boxes[0], boxes[1:])


def test_scores_of_boxes_where_only_some_images_have_one(classifier):
  records, images = _images(4)
  records[2] = dataclasses.replace(
      records[2], boxes=np.array([[0, 0, 1, 1]], np.float32),
      box_label=np.array([0]), label=np.array([1, 0, 0], np.float32))
  pairs = cases.cases_of(classifier, records, images, "label")
  pairs.class_index[2] = 0
  names = ["pointing_game", "box_iou", "mask_iou", "sparseness"]
  board = leaderboard.judge(classifier, pairs, ["grad_cam", "(centre)"],
                            names, samples=0)
  centre = board["methods"]["(centre)"]
  # Of the one image with a box, which is the whole of it.
  assert centre["pointing_game"] == 1 and centre["pairs"] == 4
  assert "mask_iou" not in centre and "sparseness" in centre
  assert "pointing game" in leaderboard_page.leaderboard_table(board)
  # The plot has a panel for each score, and none that is empty.
  assert [a.get_title() for a in leaderboard_page.plot(board).axes] == [
      "sparseness ↑", "pointing game ↑", "box iou ↑"]


def test_other_classes_or_images_are_judged_anew(classifier, tmp_path):
  """What was finished is kept, but for the very same pairs alone."""
  records, images = _images(3)
  pairs = cases.cases_of(classifier, records, images, "prediction")
  judge = lambda pairs: leaderboard.judge(
      classifier, pairs, ["grad_cam"], ["sparseness"], folder=tmp_path,
      samples=0)["methods"]["grad_cam"]["sparseness"]
  first = judge(pairs)
  stored = json.loads((tmp_path / "grad_cam.json").read_text())
  stored["row"]["scores"]["sparseness"] = [7., 7., 7.]
  (tmp_path / "grad_cam.json").write_text(json.dumps(stored))
  assert judge(pairs) == 7  # read, not made
  (tmp_path / "grad_cam.json").write_text(json.dumps({**stored, "code": 0}))
  assert judge(pairs) == first  # of other code
  pairs.class_index[:] = (pairs.class_index + 1) % 3
  second = judge(pairs)
  assert second not in (7, first)
  pairs.images[:] = pairs.images[:, ::-1] / 2  # of the same names
  assert judge(pairs) != second


def test_nothing_to_judge_by_is_refused(classifier):
  pairs = cases.cases_of(classifier, *_images(2), "prediction")
  with pytest.raises(UserError, match="metrics='': must be any of average_dr"):
    leaderboard.judge(classifier, pairs, ["grad_cam"], [""][:0])


def test_another_head_is_judged_anew(classifier, tmp_path):
  """The classifier is the same, frozen as it is."""
  records, images = _images(3)
  pairs = cases.cases_of(classifier, records, images, "prediction")
  judge = lambda: leaderboard.judge(
      headed, pairs, ["tame"], ["sparseness"], folder=tmp_path,
      samples=0)["methods"]["tame"]["sparseness"]
  headed = explanation_head.attach(classifier, "tame")
  first = judge()
  assert judge() == first
  headed.attention.set_weights([
      w + np.random.default_rng(0).normal(size=w.shape)
      for w in headed.attention.get_weights()])
  assert judge() != first


def test_classes_that_come_one_after_the_other_take_turns(classifier):
  made, _ = _images(9)
  made = [dataclasses.replace(r, label=np.eye(3, dtype=np.float32)[i // 4])
          for i, r in enumerate(made)]  # four, four and one
  pairs = cases.cases_of(classifier, made, image_store.Images(made, 32),
                         "label", limit=5)
  assert pairs.class_index.tolist() == [0, 1, 2, 0, 1]
  assert pairs.ids == ["0", "4", "8", "1", "5"]


def test_intervals_are_over_groups():
  """Twelve images of two patients who differ say as much as two images."""
  row = {"scores": {"sparseness": [0.] * 6 + [1.] * 6},
         "images_a_second": 1., "forward_passes": 1}
  width = lambda groups: np.ptp(leaderboard._summary(
      row, 200, groups)["ci90"]["sparseness"])
  assert width(["a"] * 6 + ["b"] * 6) == 1 > .6 > width(None)


def test_cases_know_the_groups_of_their_images(classifier):
  records, images = _images(4)
  none = cases.cases_of(classifier, records, images, "prediction")
  assert none.groups is None and none.pick([1, 0]).groups is None
  records[0] = dataclasses.replace(records[0], group="a")
  records[2] = dataclasses.replace(records[2], group="a")
  pairs = cases.cases_of(classifier, records, images, "prediction")
  assert pairs.groups == ["group a", "image 1", "group a", "image 3"]
  assert pairs.part(slice(1, 3)).groups == ["image 1", "group a"]
  board = leaderboard.judge(classifier, pairs, ["gradient"], ["sparseness"])
  assert board["groups"] == 3
  page = leaderboard_page.markdown(board | {
      "command": "", "json": "", "about": "", "target": "label"}, "")
  assert "over the 3 groups" in page


def test_what_cannot_be_measured_at_all_is_said(classifier):
  records, images = _images(3)
  pairs = cases.cases_of(classifier, records, images, "prediction")
  pairs.boxes = [b[:0] for b in pairs.boxes]
  with pytest.raises(UserError, match=r"methods=\('tame',\): none .*tame: "):
    leaderboard.judge(classifier, pairs, ["tame"], ["sparseness"])
  with pytest.raises(UserError, match=r"metrics=\('pointing_game',\): none"):
    leaderboard.judge(classifier, pairs, ["gradient"],
                      ["pointing_game", "pointing_game"])


def test_many_methods_are_traced_without_a_warning(classifier, caplog):
  records, images = _images(2)
  pairs = cases.cases_of(classifier, records, images, "prediction")
  leaderboard.judge(classifier, pairs, [
      "gradient", "grad_cam", "layer_cam", "hires_cam", "xgrad_cam",
      "eigen_cam"], ["sparseness", "max_sensitivity"], samples=0)
  assert "retracing" not in caplog.text


def test_a_column_is_there_if_any_method_has_it():
  row = {"pairs": 1, "images_a_second": 1., "forward_passes": 1}
  board = {"methods": {"rise": row, "gradient": {**row, "box_iou": .5}}}
  lines = leaderboard_page.leaderboard_table(board).splitlines()
  assert "box iou" in lines[0] and "-" in lines[2] and "0.5" in lines[3]
  assert leaderboard_page.plot({**board, "skipped": {}})


def test_the_command_on_images_without_boxes(tmp_path):
  """JPEGs in class folders; a run; the leaderboard in a second process."""
  rng = np.random.default_rng(0)
  for name, channel in (("blue", 2), ("red", 0)):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for i in range(10):
      pixels = rng.integers(120, size=[24, 24, 3]).astype(np.uint8)
      pixels[6:18, 6:18, channel] += 120
      PIL.Image.fromarray(pixels).save(
          tmp_path / "photos" / name / f"{i}.jpg")
  training.train_and_evaluate(Config(
      dataset="folder", data_dir=str(tmp_path / "photos"), model="tiny_cnn",
      image_size=32, objective="supervised", shots=2, steps=2, bootstrap=0,
      summary_images=0).resolve(), tmp_path / "run")
  out, page = tmp_path / "board.json", tmp_path / "board.md"
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.evaluate",
       f"--workdir={tmp_path / 'run'}", "--methods=grad_cam,rise",
       f"--out={out}", f"--page={page}"],
      capture_output=True, text=True, cwd=ROOT)
  quiet_process.output(done)
  board = json.loads(out.read_text())
  assert board["target"] == "prediction" and board["pairs"] == 4
  passes = {m: row["forward_passes"] for m, row in board["methods"].items()}
  assert passes == {"grad_cam": 1, "rise": 501}
  for row in board["methods"].values():
    for name in ("average_drop", "increase_in_confidence"):
      assert all(0 <= row[name + end] <= 100 for end in PERCENT)
      # Whether or not the run's own scores had intervals.
      low, high = row["ci90"][name]
      assert low <= row[name] <= high
    assert row["images_a_second"] > 0 and "pointing_game" not in row
  assert "increase in confidence 15" in done.stdout
  text = page.read_text()
  assert "the class that the classifier gives it" in text
  # What needs boxes is refused before an image is read: here none could be.
  for photo in (tmp_path / "photos").rglob("*.jpg"):
    photo.write_bytes(b"broken")
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.evaluate",
       f"--workdir={tmp_path / 'run'}", "--methods=grad_cam",
       "--metrics=pointing_game,mask_iou"],
      capture_output=True, text=True, cwd=ROOT)
  assert done.returncode == 2 and not done.stdout
  assert done.stderr.startswith("error: --metrics=pointing_game,mask_iou: none "
                                "of them can be measured on these images")
  assert "average drop 50 ↓" in text and "501" in text

"""Two runs side by side: differences by hand, refusals, figures."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf.evaluation import comparison
from atcon_tf import models
from atcon_tf.reports.figures import classifier_maps
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import comparison_figures
from atcon_tf.reports import tables
from tests import quiet_process
from tests.conftest import ROOT

CLASSES = ("cat", "dog")


def _table(probability, consistency=None, **changes):
  """As many cats as dogs, the cats first."""
  count = len(probability)
  label = np.repeat(np.eye(2), count // 2, 0)
  return {"id": np.array([f"image{i}" for i in range(count)]),
          "label": label, "probability": np.asarray(probability, float),
          "class_names": np.array(CLASSES), "multi_label": np.array(True),
          "threshold": np.array(.5),
          "consistency": np.asarray(
              np.linspace(-.5, .5, count) if consistency is None
              else consistency),
          "box_iou": np.where(label, .25, np.nan), **changes}


# Every cat is found; the dogs have a cat's probability.
FIRST = _table([[.9, .1]] * 6 + [[.9, .1], [.8, .2], [.1, .9]] * 2)
# The box IoU of the dogs grows by .1, .25 and .4, that of no cat.
SECOND = _table([[.9, .1]] * 6 + [[.1, .9]] * 6, box_iou=np.where(
    FIRST["label"], [[.25]] * 6 + [[.35], [.5], [.65]] * 2, np.nan))


def test_each_class_is_compared():
  found = comparison.compare(FIRST, SECOND, samples=200)
  # Cats: 6 hits and 4 false alarms, F1 = 12 / 16; then 6 and none.
  cat, dog = found["per_class"]["cat"], found["per_class"]["dog"]
  assert cat["f1"]["first"] == .75 and cat["f1"]["second"] == 1
  # Dogs: two hits, four missed, F1 = 4 / 8.
  assert dog["f1"]["first"] == .5 and dog["f1"]["difference"] == .5
  assert found["f1_macro"]["difference"] == pytest.approx((.25 + .5) / 2)
  assert dog["f1"]["images"] == 6
  # Of one dog there is no box.
  boxes = np.where([[0, 0]] * 11 + [[0, 1]], np.nan, FIRST["box_iou"])
  fewer = comparison.compare(*({**t, "box_iou": boxes} for t in (
      FIRST, SECOND)), samples=20)["per_class"]["dog"]
  assert fewer["box_iou"]["images"] == 5 and fewer["ap"]["images"] == 6
  assert dog["box_iou"]["difference"] == pytest.approx(.25)
  low, high = dog["box_iou"]["interval"]
  assert .09 < low < .25 < high < .41
  assert cat["box_iou"]["interval"] == [0, 0]
  assert comparison.differs(dog["box_iou"])
  assert not comparison.differs(cat["box_iou"])
  assert [c for c, _ in comparison.of_classes(found, "box_iou")] == [
      "dog", "cat"]
  assert comparison.of_classes(found, "pointing_game") == []


def test_the_tables_as_text():
  found = comparison.compare(FIRST, SECOND, samples=200)
  text = tables.differences_table(found, "new over old").splitlines()
  assert text[0].split() == ["new", "over", "old", "difference", "90", "%",
                             "interval", "p"]
  iou = next(line for line in text if line.startswith("box IoU"))
  assert iou.split()[2] == "+0.125"
  blocks = tables.class_tables(found, ("old", "new")).split("\n\n")
  assert [b.split(" of a class")[0] for b in blocks] == ["AP", "F1",
                                                         "box IoU"]
  lines = blocks[-1].splitlines()
  assert lines[2].split()[:5] == ["dog", "6", "0.250", "0.500", "+0.250"]
  # Six images of one sign: 2 / 2^6.
  assert lines[2].split()[-2:] == ["0.031", "*"]
  # No resample changes the cats: there is no interval, and that is said.
  assert lines[3].split()[-3:] == ["equal", "[=]", "-"]
  assert any(note.startswith("[=]: all resamples of these images")
             for note in tables.missing_notes([found]))
  # The cats without an interval are not among the 1 that a tenth is of.
  assert lines[-1] == (
      "* interval without 0: 1 better, 0 worse of 1; about 0.1 expected by "
      "chance alone")


def test_few_images_with_a_box_show_no_difference():
  """Each of four maps is better: 2 / 2^4 is more than a tenth."""
  few = np.where(np.arange(12)[:, None] < 8, np.nan, 1)
  found = comparison.compare(*({**t, "box_iou": t["box_iou"] * few}
                               for t in (FIRST, SECOND)), samples=200)
  for row in found["box_iou"], found["per_class"]["dog"]["box_iou"]:
    assert row["difference"] > .2
    assert row["interval"] is None and row["p"] == .125
    assert not comparison.differs(row)
  text = tables.differences_table(found, "new over old")
  line, = (line for line in text.splitlines() if line.startswith("box IoU"))
  assert line.split()[-2:] == ["[-]", "-"]
  assert any(note.startswith("[-]: ") and "fewer than 5 images" in note
             for note in tables.missing_notes([found], classes=False))
  assert canvas.to_png(comparison_figures.classes(found, "new over old"))


def test_few_other_decisions_show_no_difference():
  """Three of the decisions differ: McNemar's exact p is 2 / 2^3."""
  first = _table([[.9, .1]] * 9 + [[.1, .9]] * 3, multi_label=np.array(False))
  second = {**first, "probability": np.array(
      [[.9, .1]] * 6 + [[.1, .9]] * 6, float)}
  found = comparison.compare(first, second, samples=500)
  for row in (found["accuracy"], found["f1_macro"],
              found["per_class"]["dog"]["f1"]):
    assert row["difference"] > .2
    assert row["interval"] is None and row["p"] == .25
  same = comparison.compare(first, first, samples=500)["accuracy"]
  assert same["interval"] == [0, 0] and same["p"] == 1


def test_a_constant_difference_is_not_certain():
  second = {**SECOND, "box_iou": np.where(FIRST["label"], [.25, .5], np.nan)}
  dog = comparison.compare(FIRST, second, 50)["per_class"]["dog"]["box_iou"]
  assert dog["interval"] == pytest.approx([.25, .25])
  assert not comparison.differs(dog) and tables.p_value(dog) == "-"


def test_groups_are_drawn_whole():
  """Ten images a patient: as uncertain as the patients, not the images."""
  rng = np.random.default_rng(0)
  patient, count = np.repeat(np.arange(6), 10), 60
  probability = rng.uniform(size=[count, 2])
  first = _table(probability, np.zeros(count))
  gain = .1 + rng.normal(size=6)[patient] * .2
  second = _table(probability, gain)
  alone = comparison.compare(first, second, 400)
  grouped = {"group": np.array([f"patient_{i}" for i in patient])}
  found = comparison.compare({**first, **grouped}, {**second, **grouped}, 400)
  assert found["groups"] == 6 and "groups" not in alone
  widths = [np.diff(f["consistency"]["interval"])[0] for f in (found, alone)]
  assert widths[0] > 2 * widths[1]
  assert found["consistency"]["p"] > alone["consistency"]["p"]
  assert "over 6 groups of images" in tables.differences_table(found, "a")
  # One of the two was stored without groups: the other knows them.
  assert comparison.compare(first, {**second, **grouped}, 20)["groups"] == 6


def test_other_images_or_classes_are_refused_in_one_line():
  other = {**SECOND, "id": np.array([f"image{i}" for i in range(2, 14)])}
  with pytest.raises(UserError, match=r"a and b saw different test images "
                     r"\(12 and 12, 10 in common\)") as caught:
    comparison.check(FIRST, other, ("a", "b"))
  assert "\n" not in str(caught.value)
  with pytest.raises(UserError, match="different classes"):
    comparison.compare(FIRST, {**SECOND, "class_names": np.array(["cat",
                                                                  "cow"])})


def test_other_labels_of_the_same_images_are_refused():
  with pytest.raises(UserError, match="other labels"):
    comparison.check(FIRST, {**SECOND, "label": 1 - SECOND["label"]})


def test_true_and_false_positives():
  table = _table([[.9, .1], [.6, .7], [.3, .4], [.2, .9], [.9, .8], [.4, .2]])
  right, wrong = comparison_figures.right_and_wrong(table)
  # Of the third and the last image no class reaches 0.5.
  assert right.tolist() == [True, False, False, True, False, False]
  assert wrong.tolist() == [False, True, False, False, True, False]
  single = {k: v for k, v in table.items() if k != "threshold"}
  right, wrong = comparison_figures.right_and_wrong(single)
  assert (right ^ wrong).all()


def test_the_figures_say_their_numbers():
  before = _table(FIRST["probability"], 2 * [-.5, -.3, 0] + 2 * [.2, .4, .6])
  # Gains of 0.5 - x: a line of slope -1 through every point.
  after = _table(SECOND["probability"], [.5] * 12)
  difference = comparison.compare(before, after, 50)["consistency"]
  figure = comparison_figures.gain(before, after, ("old", "new"), difference,
                                   50)
  (axes,) = figure.axes
  # 0.5 - 0.4 / 6, and ten of twelve images gain.
  low, high = difference["interval"]  # that of the console's table
  assert axes.get_title() == (
      f"Mean gain of consistency +0.433 [{low:+.3f}, {high:+.3f}]")
  words = [t.get_text() for t in axes.get_legend().get_texts()]
  assert "83% of the images gain" in words
  assert any(w.startswith("fit, slope -1.00 [-1.00, -1.00]") for w in words)
  assert "fall from left to right proves nothing" in " ".join(
      figure.get_supxlabel().split())
  again = comparison_figures.gain(before, {**after, "consistency": (
      2 * before["consistency"])}, ("old", "new"), difference, 50)
  assert "fall from left" not in " ".join(again.get_supxlabel().split())
  line = axes.get_lines()[-1]
  np.testing.assert_allclose(line.get_ydata(), .5 - line.get_xdata(),
                             atol=1e-9)

  # Two of each three dogs are wrong, all else is right.
  figure = comparison_figures.positives((before, after), ("old", "new"))
  left, right = figure.axes
  # Of the 8 x 4 pairs the right one is higher in 8, those of two dogs.
  assert "25% [" in left.get_title()
  assert right.get_title().endswith("all are right, or all wrong")
  assert canvas.to_png(figure).startswith(b"\x89PNG")
  assert comparison_figures.too_few((before, after), ("old", "new")) == (
      "old has 4 wrong predictions, fewer than 10")


def test_the_figure_of_classes_is_grey_where_nothing_is_shown():
  found = comparison.compare(FIRST, SECOND, samples=200)
  figure = comparison_figures.classes(found, "new over old")
  assert [a.get_title() for a in figure.axes] == ["AP", "F1", "box IoU"]
  colors = [line.get_color() for line in figure.axes[2].get_lines()
            if len(line.get_xdata()) == 1]
  assert colors == [canvas.GOOD, canvas.UNCLEAR]


def test_the_command(tiny_run, tmp_path):
  """Against a copy of itself in a folder of the same name."""
  twin, out = tmp_path / "run", tmp_path / "differences.json"
  subprocess.run(["cp", "-r", tiny_run, twin], check=True)
  command = [sys.executable, "-m", "atcon_tf.evaluate", f"--workdir={twin}",
             f"--compare={tiny_run}", f"--out={out}"]
  done = subprocess.run(command, capture_output=True, text=True,
                        cwd=ROOT)
  quiet_process.output(done)
  assert "AP of a class" in done.stdout
  (title, found), = json.loads(out.read_text()).items()
  first, second = title.split(" over ")
  assert first != second and first.endswith("run") and second.endswith("run")
  assert found["map_macro"]["difference"] == 0
  assert sorted(p.name.rsplit("_", 1)[1] for p in (
      twin / "figures").glob("compare_*")) == [
          "classes.png", "gain.png", "positives.png"]
  assert "the figure of changed maps is left out: no map has half" in (
      done.stdout)
  # Other test images: one line, and nothing is written.
  with np.load(twin / "predictions.npz") as arrays:
    arrays = dict(arrays)
  np.savez(twin / "predictions.npz", **{
      **arrays, "id": np.char.add("other/", arrays["id"])})
  out.unlink()
  done = subprocess.run(command, capture_output=True, text=True,
                        cwd=ROOT)
  assert done.returncode == 2 and not out.exists()
  assert done.stderr.strip().splitlines()[-1].startswith("error: --compare: ")
  assert "saw different test images" in done.stderr and not done.stdout


def test_maps_of_another_size_lie_where_they_were():
  """Places in units of the image, whatever the size it was seen at."""
  keras.utils.set_random_seed(1)
  classifier = models.build("tiny_cnn", 2, image_size=64)
  images = np.random.default_rng(0).integers(0, 255, [3, 64, 64, 3], np.uint8)
  rows, target = np.arange(3), np.array([0, 1, 0])
  own, larger = (classifier_maps.grad_cam_at(
      classifier, images, target, (n, n), rows) for n in (64, 128))
  # Halved, the larger maps are the others.
  halved = larger.reshape(3, 64, 2, 64, 2).mean((2, 4))
  np.testing.assert_allclose(halved, own, atol=.03 * np.abs(own).max())

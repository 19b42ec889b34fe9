"""The sweep: its fit and crossing by hand, its arms, its advice."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from atcon_tf.config import Config
from atcon_tf.studies import shot_sweep
from tests import quiet_process
from tests.conftest import ROOT


def test_the_line_and_where_it_falls_below():
  # 8 points at one image, 2 less with every doubling.
  gain = {1: [8., 8], 2: [6., 6], 4: [4., 4]}
  slope, height = shot_sweep.fit(gain)
  assert (slope, height) == pytest.approx((-2, 8))
  np.testing.assert_allclose(shot_sweep.plausible_fits(gain, 5),
                             [[-2, 8]] * 5, atol=1e-6)
  # 8 - 2 log2(k) = 1 at k = 2^3.5.
  advice = shot_sweep.advise(gain, "atcon", "supervised", "map_macro", 1.0, 2.5)
  assert advice["until"] == pytest.approx(2**3.5)
  assert "fall below 1 point at about 11 images a class: " in advice["advice"]
  # Equal seeds say nothing of others: an interval without width would lie.
  assert advice["interval"] is advice["gain"]["interval"] is None
  assert ("by +4.0 points (every seed the same, so that there is no interval) "
          "and takes 2.5 times") in advice["advice"]
  figure = shot_sweep.plot(gain, advice)
  assert "interval" not in " ".join(
      text.get_text() for text in figure.axes[0].get_legend().get_texts())
  assert "about 11" in figure.axes[0].get_title().replace("\n", " ")


def test_the_interval_takes_the_seed_as_its_unit():
  """SciPy's t interval of the seeds' slopes, and of their gains at 8."""
  gain = {1: [3., 5, 4], 2: [2., 5, 3], 4: [1., 2, 2], 8: [2., 0, 1]}
  seeds = [stats.linregress([0, 1, 2, 3], values)
           for values in zip(*gain.values())]
  drawn = shot_sweep.plausible_fits(gain, 400_000)
  for x, each in [([1, 0], [s.slope for s in seeds]),
                  ([3, 1], [s.intercept + 3 * s.slope for s in seeds])]:
    np.testing.assert_allclose(
        np.quantile(drawn @ x, [.05, .95]),
        stats.t.interval(.9, 2, np.mean(each), stats.sem(each)), atol=.05)


@pytest.mark.parametrize("fit, until", [
    ((-1., 3.), 4.),       # 3 - log2(4) = 1
    ((-1., 0.5), 0.),      # below from the first image on
    ((0.5, 2.), np.inf),   # grows
    ((0.5, 0.), np.inf),   # will be worth it with more images
    ((1e-9, 0.), 0.),      # rises too slowly to be worth it ever
    ((-1e-9, 5.), np.inf)  # falls too slowly to say when
])
def test_last_worthwhile(fit, until):
  assert shot_sweep.last_worthwhile([fit], 1.0, 800)[0] == pytest.approx(
      until)


def test_advice_where_nothing_is_gained():
  gain = {1: [.2, -.1], 4: [0., .1]}
  assert "to be expected: use --objective=probe." in shot_sweep.advise(
      gain, "atcon", "probe", "map_macro", 1.0, 1.0)["advice"]


def test_a_gain_that_nobody_can_tell_from_nothing_is_called_so():
  text = shot_sweep.advise({1: [9., -5], 4: [8., -6]}, "atcon", "supervised",
                           "f1_macro", 2.0, 1.0)["advice"]
  assert "macro F1 over supervised by +1.0 points [-" in text
  assert "cannot tell from nothing" in text
  # The line falls from 2 at one image: a crossing, and no advice to use it.
  text = shot_sweep.advise({1: [9., -3], 4: [8., -6]}, "atcon", "supervised",
                           "f1_macro", 2.0, 1.0)["advice"]
  assert text.endswith("sweep again with more --repeats.")


def test_how_many_times_as_long():
  rows = [dict(arm=a, seconds=s) for a, s in [
      ("atcon", 30), ("atcon", 50), ("supervised", 10), ("supervised", 30)]]
  assert shot_sweep.times_as_long(rows, "atcon", "supervised") == 2


def test_gains_are_paired():
  rows = [dict(arm=a, shots=2, seed=s, val={"map_macro": v})
          for a, s, v in [("supervised", 0, .5), ("atcon", 0, .53),
                          ("supervised", 1, .4), ("atcon", 1, .39),
                          ("atcon", 2, .9)]]
  assert shot_sweep.gains(rows, "atcon", "supervised", "map_macro") == {
      2: pytest.approx([3, -1])}


def test_both_arms_share_what_both_use():
  config = Config(objective="self_training", bank_every=5, steps=7,
                  seed=3).resolve()
  made = shot_sweep.arms(config, "supervised")
  assert "--bank_every=5" in made["self_training"]
  assert not any("bank_every" in f for f in made["supervised"])
  assert "--objective=supervised" in made["supervised"]
  for flags in made.values():
    assert "--steps=7" in flags
    assert not any(f.startswith(("--seed", "--shots", "--split_seed"))
                   for f in flags)


@pytest.mark.parametrize("settings, baseline", [
    ({"objective": "self_training", "model": "mobilenet_v2",
      "dataset": "voc"}, "ranked_probe"),
    ({"objective": "supervised", "model": "mobilenet_v2",
      "dataset": "voc"}, "probe"),
    ({"objective": "ranked_probe", "model": "mobilenet_v2",
      "dataset": "voc"}, "probe"),
    ({"objective": "atcon"}, "supervised")])
def test_it_is_compared_with_its_own_start(settings, baseline):
  config = Config(**settings).resolve()
  assert shot_sweep.baseline_of(config) == baseline
  flags = shot_sweep.arms(config, baseline)[baseline]
  assert f"--objective={baseline}" in flags
  assert any(f.startswith("--steps=") for f in flags) == (
      baseline == "supervised")


def _sweep(folder, *flags):
  return subprocess.run(
      [sys.executable, "-m", "atcon_tf.sweep", "--dataset=shapes",
       "--shot_list=1,2", "--repeats=2", f"--out={folder}", *flags],
      capture_output=True, text=True, cwd=ROOT)


def test_a_sweep_ends_with_the_advice_of_its_own_rows(tmp_path):
  """A larger one was interrupted: it left rows of 4 images, of one seed."""
  arms = shot_sweep.arms(Config(objective="self_training").resolve(),
                         "supervised")
  rows = [{"arm": arm, "shots": shots, "seed": seed, "flags": flags,
           "seconds": 2. if arm == "supervised" else 3.,
           "val": {"map_macro": .5 + .04 * (arm != "supervised") / shots}}
          for arm, flags in arms.items()
          for shots, seed in [(1, 0), (1, 1), (2, 0), (2, 1), (4, 0)]]
  (tmp_path / "rows.json").write_text(json.dumps({"grid": {}, "rows": rows}))
  done = _sweep(tmp_path, "--objective=self_training")
  quiet_process.output(done)
  assert ("At 2 labelled images a class self_training changes validation mAP "
          "over supervised by +2.0 points (every seed the same, so that there "
          "is no interval) and takes 1.5 times") in done.stdout
  assert (tmp_path / "sweep.png").stat().st_size
  advice = json.loads((tmp_path / "sweep.json").read_text())
  assert set(advice["gains"]) == {"1", "2"}


@pytest.mark.parametrize("flags", [
    ["--objective=tame", "--warm_start=W"], ["--objective=atcon", "--seed=1"]])
def test_what_cannot_be_swept(flags, tmp_path):
  done = _sweep(tmp_path, *flags)
  wrong = flags[0] if "tame" in flags[0] else flags[1]
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith(f"error: {wrong}: ")
  assert not list(tmp_path.iterdir())

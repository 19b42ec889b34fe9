"""Which weights a run keeps, and what is said about them."""

import json

import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator

from atcon_tf.config import Config
from atcon_tf.config import UserError
from atcon_tf.reports import kept_weights
from atcon_tf.reports import tables
from atcon_tf.reports.figures import score_plots
from atcon_tf import runs
from atcon_tf import training
from atcon_tf.training import trainer
from atcon_tf.training import weight_choice
from tests.tiny_runs import tiny

AVERAGE = dict(objective="supervised", steps=8, eval_every=4, keep="average",
               checkpoint_every=1, bootstrap=0, summary_images=0)


def _row(score, loss):
  return {"score": score, "loss": loss}


@pytest.mark.parametrize("new, best, wins", [
    (_row(.9, 9.), None, True),
    (_row(.9, 9.), _row(.8, .1), True),
    (_row(.8, .1), _row(.9, 9.), False),
    (_row(1., .2), _row(1., .3), True),  # a tie: the lower loss
    (_row(1., .3), _row(1., .2), False),
    (_row(1., .2), _row(1., .2), True),  # of equal losses the later
    (_row(1. - 1e-15, .2), _row(1., .3), True)])
def test_the_tie_rule(new, best, wins):
  assert weight_choice.wins(new, best) == wins
  assert weight_choice.wins(new, best, "last")


def test_a_saturated_score_does_not_keep_the_first_weights(
    tmp_path, monkeypatch):
  """Each validation has an mAP of 1; the losses are 3, 1, 2."""
  losses = iter([3., 1., 2., 9., 9.])
  monkeypatch.setattr(
      "atcon_tf.training.validation.Validator._scores",
      lambda self, updates: {"map_macro": 1., "f1_macro": 1.,
                             "loss": next(losses)})
  result = training.train_and_evaluate(tiny(
      objective="supervised", steps=3, eval_every=1, bootstrap=0),
      tmp_path / "w")
  assert result["steps"]["best"] == 2
  assert [row["step"] for row in result["history"] if "kept" in row] == [2]
  # In TensorBoard one point in every curve, and the pictures of the end.
  events = event_accumulator.EventAccumulator(
      str(tmp_path / "w/tb/kept"), size_guidance={"tensors": 0})
  events.Reload()
  for tag in ("validation/map_macro", "train/supervised", "confusion",
              "maps"):
    assert [e.step for e in events.Tensors(tag)] == [2], tag
  (text,) = events.Tensors("kept")
  assert b"came after 2 of 3" in text.tensor_proto.string_val[0]
  assert "train/kept" not in events.Tags()["tensors"]


def test_the_average_is_the_mean_of_the_last_quarter(tmp_path, monkeypatch):
  """Stopped in the middle of it and continued, it is the same."""
  class Stopped(Exception):
    pass

  seen, step = [], trainer.Trainer.step

  def spy(self, batches):
    if stop_at == len(seen):
      raise Stopped
    logs = step(self, batches)
    seen.append([v.numpy() for v in self.classifier.model.variables])
    return logs

  monkeypatch.setattr(trainer.Trainer, "step", spy)
  stop_at = None
  whole = training.train_and_evaluate(tiny(**AVERAGE), tmp_path / "whole")
  assert whole["steps"]["averaged"] == 2 and len(seen) == 8
  kept = runs.load(tmp_path / "whole").classifier.model.get_weights()
  for value, first, second in zip(kept, *seen[-2:], strict=True):
    np.testing.assert_allclose(value, (first + second) / 2, rtol=1e-6,
                               atol=1e-8)
  assert [row["step"] for row in whole["history"]] == [4, 8, 8]
  assert "kept" in whole["history"][2]
  seen.clear()
  stop_at = 7
  with pytest.raises(Stopped):
    training.train_and_evaluate(tiny(**AVERAGE), tmp_path / "cut")
  stop_at = None
  again = training.train_and_evaluate(tiny(**AVERAGE), tmp_path / "cut")
  for part in ("val", "test", "history", "thresholds", "steps"):
    assert json.dumps(again[part]) == json.dumps(whole[part]), part


def test_the_last_weights_are_kept_whatever_they_score(tmp_path):
  result = training.train_and_evaluate(tiny(
      objective="supervised", keep="last", learning_rate=1e-2, steps=3,
      eval_every=1, bootstrap=0, summary_images=0), tmp_path / "w")
  assert result["steps"]["best"] == 3
  assert result["val"]["map_macro"] == pytest.approx(
      result["history"][-1]["val_map_macro"])


@pytest.mark.parametrize("keep", ["last", "average"])
def test_a_probe_that_is_fitted_again_has_to_be_better(tmp_path, keep):
  """Though --keep=last and average choose nothing among the updates."""
  result = training.train_and_evaluate(tiny(
      objective="self_training", start="ranked_probe", refit="on", keep=keep,
      steps=2, eval_every=1, bank_every=1, bootstrap=0, summary_images=0),
      tmp_path / "w")
  *_, last, again = result["history"]
  assert again["refit"]
  better = (again["val_map_macro"], -again["val_loss"]) > (
      last["val_map_macro"], -last["val_loss"])
  assert result["steps"].get("best_is_refit", False) == better
  (kept,) = [row for row in result["history"] if row.get("kept")]
  assert kept is (again if better else last)
  assert last.get("averaged", 0) == (keep == "average")


def test_a_small_validation_set_is_said():
  assert not kept_weights.too_few({"a": 10, "b": 12})
  few = {"a": 1, "b": 2, "c": 3, "d": 10}
  assert "the class 'a', and fewer than 10 of 2 other classes:" in (
      kept_weights.too_few(few))
  assert "--keep=average --refit=off" in kept_weights.too_few(few, refits=True)
  assert "--refit" not in kept_weights.too_few(few)
  assert kept_weights.too_few({"a": 12., "b": 9.}).startswith(
      "Validation has 9 images of the class 'b': fewer than 10 are too few to "
      "choose weights by")


def _result(best, last, **more):
  config = dict(objective="self_training", start="prior", keep="best")
  config |= {k: more.pop(k) for k in ("start", "keep") if k in more}
  return {"config": config, "history": [{"step": last}], "seconds": 1,
          "steps": {"supervised": last, "consistency": 0, "best": best,
                    **more}, "test": {"map_macro": .5}}


@pytest.mark.parametrize("result, fine, early, words", [
    (_result(20, 40), True, False, "after 20 of 40 updates."),
    (_result(40, 40), False, False, "longer training may be better"),
    (_result(10, 40, objective_from=30), False, True,
     "before the loss of self_training began (after 30)"),
    (_result(31, 40, objective_from=30), True, False, "after 31 of 40"),
    (_result(0, 40, start="ranked_probe"), False, True,
     "Training gave nothing: the kept weights are those of the ranked probe"),
    (_result(0, 0, start="probe"), True, False, "fitted probe"),
    (_result(40, 40, best_is_refit=True), True, False, "head fitted again"),
    (_result(40, 40, averaged=10, keep="average"), True, False,
     "mean of those after each of the last 10 of 40"),
    (_result(40, 40, keep="last"), True, False, "The last weights")])
def test_what_is_said(result, fine, early, words):
  assert kept_weights.judged(result)[0] == fine
  assert words in kept_weights.judged(result)[1]
  assert bool(kept_weights.warnings(result)) == early
  assert "weights kept after" in tables.scores_table({"run": result})


def test_a_refitted_probe_is_told():
  old = {"score": .989, "loss": .2, "updates": 40}
  row = lambda score, loss: {"val_map_macro": score, "val_loss": loss}
  assert kept_weights.refitted(row(.982, .1), old, old) == (
      "the refitted probe is not better (mAP on validation 0.9820 < 0.9890): "
      "the trained weights of update 40 are kept")
  assert kept_weights.refitted(row(.99, .1), old, {"refit": True}).endswith(
      "is better (mAP on validation 0.9900 > 0.9890): the refitted probe is "
      "kept")
  assert "the loss decides (0.3000 against 0.2000), the trained" in (
      kept_weights.refitted(row(.989, .3), old, old))


def test_a_perfect_score_promises_nothing_of_longer_training():
  result = _result(40, 40)
  result["history"] = [{"step": 40, "val_map_macro": 1., "kept": True}]
  fine, words = kept_weights.judged(result)
  assert fine and words.endswith("after 40 of 40 updates, the last ones.")


def test_a_choice_by_the_loss_is_told():
  result = _result(20, 40)
  result["history"] = [{"step": 20, "val_map_macro": 1., "kept": True},
                       {"step": 40, "val_map_macro": 1.}]
  assert kept_weights.warnings(result) == [
      "2 validations have the same mAP, 1.000, so the lowest validation loss "
      "chose the weights among them."]
  assert "lowest validation loss" in kept_weights.judged(result)[1]
  result["history"][1]["val_map_macro"] = .9
  assert kept_weights.warnings(result) == []


def test_curves_tell_the_refitted_probe_from_the_weights_before():
  history = [{"step": 10, "val_map_macro": .6},
             {"step": 20, "val_map_macro": .7, "kept": True},
             {"step": 20, "val_map_macro": .8, "averaged": 5},
             {"step": 20, "val_map_macro": .65, "averaged": 5, "refit": True}]
  figure = score_plots.curves(history, ["val_map_macro"])
  lines = {line.get_label(): line.get_ydata().tolist()
           for line in figure.axes[0].lines}
  assert lines == {"trained weights": [.6, .7], "kept weights": [.7],
                   "mean of the last weights": [.8],
                   "probe refitted after training": [.65]}
  assert score_plots.trained(history, "val_map_macro") == history[:2]


def test_a_panel_of_shares_ends_at_one():
  history = [{"step": step, "val_map_macro": 1., "val_loss": .1}
             for step in (10, 20)]
  figure = score_plots.curves(history, ["val_map_macro", "val_loss"])
  low, high = figure.axes[0].get_ylim()
  assert low <= .92 and 1 < high < 1.02
  assert figure.axes[1].get_ylim()[1] < .2
  history[0]["val_map_macro"] = .99  # a ring around the 1 is whole, too
  figure = score_plots.curves(history, ["val_map_macro"])
  assert 1.005 < figure.axes[0].get_ylim()[1] < 1.02


def test_curves_mark_the_kept_weights():
  history = [{"step": 10, "val_map_macro": .6},
             {"step": 20, "val_map_macro": .7, "kept": True}]
  figure = score_plots.curves(history, ["val_map_macro"], begins=15)
  rings = [line for line in figure.axes[0].lines
           if line.get_label() == "kept weights"]
  (ring,) = rings
  assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (20, .7)
  assert {text.get_text() for text in figure.legends[0].texts} == {
      "kept weights", "the objective's loss begins"}


def test_random_labels_keep_the_last():
  config = Config(objective="supervised", random_labels=True)
  assert config.resolve().keep == "last"
  with pytest.raises(UserError, match="keep='average': not used with"):
    Config(objective="supervised", random_labels=True,
           keep="average").resolve()

"""Do the maps of two runs agree?"""

import dataclasses

import pytest

from atcon_tf.config import UserError
from atcon_tf.evaluation import map_agreement
from atcon_tf.reports import map_tables
from atcon_tf import runs


def test_two_runs(finished):
  run, other = (runs.load(finished / name) for name in ("atcon", "supervised"))
  same = map_agreement.judge(run, run, ["gradient", "(centre)"], limit=12)
  assert same["methods"]["gradient"]["distance"] == pytest.approx(0, abs=1e-3)
  board = map_agreement.judge(run, other, ["gradient", "tame"], limit=12)
  row = board["methods"]["gradient"]
  assert 0 < row["distance"] <= 1 and row["pairs"] == board["images"] == 12
  assert row["both_right"] + row["one_right"] <= 12
  assert list(board["skipped"]) == ["tame"]
  assert "MeGe" in map_tables.agreement(board)


def test_refusals(finished):
  run = runs.load(finished / "atcon")
  with pytest.raises(UserError, match="target='prediction': the two runs"):
    map_agreement.judge(run, run, ["gradient"], "prediction")
  other = dataclasses.replace(run, split=run.split | {
      "class_names": [n + "x" for n in run.split["class_names"]]})
  with pytest.raises(UserError, match="has other classes"):
    map_agreement.judge(run, other, ["gradient"])
  trained = dataclasses.replace(run, split=run.split | {
      "train_labeled": run.split["test"]})
  with pytest.raises(UserError, match="was trained on all test images"):
    map_agreement.judge(run, trained, ["gradient"])

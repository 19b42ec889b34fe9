"""Which step is taken when."""

import itertools

import pytest

from atcon_tf.objectives import base
from atcon_tf.training import schedule

S, C = (base.SUPERVISED,), (base.CONSISTENCY,)


def test_share_by_hand():
  # 3 x 20 of 3 x 20 + 180.
  assert schedule.supervised_share(3, 20, 180) == 60 / 240
  assert schedule.supervised_share(1, 20, 0) == 1


@pytest.mark.parametrize("kind, expected", [
    ("supervised", [S] * 4), ("consistency", [C] * 4),
    ("combined", [S + C] * 4)])
def test_schedules_of_one_kind(kind, expected):
  assert schedule.plan(kind, 4, .3, 0) == expected


def test_every_step_supervised():
  assert schedule.plan("alternating", 5, 1.0, 0) == [S] * 5


@pytest.mark.parametrize("share", [.05, .2, .8])
def test_alternating_is_a_coin_of_that_probability(share):
  plan = schedule.plan("alternating", 2000, share, 0)
  assert plan.count(S) == 2000 and plan[-1] == S
  assert set(plan) == {S, C}
  # 2000 / share steps are expected, with a spread of
  # sqrt(2000 (1 - share)) / share: 5 of them are 11 % at most.
  assert len(plan) == pytest.approx(2000 / share, rel=.11)
  # Independent: after a supervised step another follows as often as ever.
  after = [b for a, b in itertools.pairwise(plan) if a == S]
  assert after.count(S) / len(after) == pytest.approx(share, abs=.05)


def test_a_longer_run_begins_like_a_shorter_one():
  """Equal arguments give equal plans, and more steps only add to it."""
  short = schedule.plan("alternating", 20, .2, 3)
  assert schedule.plan("alternating", 20, .2, 3) == short
  assert schedule.plan("alternating", 50, .2, 3)[:len(short)] == short
  assert schedule.plan("alternating", 20, .2, 4) != short


def test_an_unknown_schedule_has_no_plan():
  with pytest.raises(KeyError, match="alternate"):
    schedule.plan("alternate", 3, .5, 0)


@pytest.mark.parametrize("delay", [0, 3, 5, 9])
def test_delay(delay):
  begin = [S] * min(delay, 5)
  assert schedule.plan("combined", 5, .5, 0, delay) == (
      begin + [S + C] * (5 - len(begin)))
  plan = schedule.plan("alternating", 5, .1, 0, delay)
  assert plan[:len(begin)] == begin and plan.count(S) == 5
  assert (C in plan) == (delay < 5)
  # The steps after the delay are those of a run without one.
  whole = schedule.plan("alternating", 5, .1, 0)
  assert whole[len(whole) - len(plan) + len(begin):] == plan[len(begin):]
  for kind in ("supervised", "consistency"):
    assert schedule.plan(kind, 5, .5, 0, delay) == schedule.plan(
        kind, 5, .5, 0)

"""The plan of a run: the kind of every step, from the seed.

The plan is a pure function of its arguments. So a resumed run continues it,
and a run of another objective has the same supervised batches.
"""

import numpy as np

from atcon_tf.objectives.base import CONSISTENCY
from atcon_tf.objectives.base import SUPERVISED


def supervised_share(alpha, labeled, unlabeled):
  """The paper's probability of a supervised step, `a S / (a S + U)`.

  Args:
    alpha: a, the weight of the labelled images.
    labeled, unlabeled: S and U, numbers of images.
  """
  return alpha * labeled / (alpha * labeled + unlabeled)


def of_run(config, records, objectives, delay=0):
  """The plan of a run, and the kind of step that its --steps counts.

  Args:
    config: a resolved `Config`.
    records: `{part: list of Record}`.
    objectives: `{kind: Objective}`.
    delay: see `plan`.
  """
  kind = config.schedule if CONSISTENCY in objectives else "supervised"
  share = config.supervised_share
  if config.alpha:
    share = supervised_share(config.alpha, len(records["train_labeled"]),
                             len(records["train_unlabeled"]))
  return (plan(kind, config.steps, share, config.seed, delay),
          CONSISTENCY if kind == "consistency" else SUPERVISED)


def plan(schedule, steps, share, seed, delay=0):
  """The kinds of all steps of a run.

  Args:
    schedule: "supervised": each step is supervised; "alternating": each step
      is supervised with probability `share`, else consistency; "combined":
      each step is both; "consistency": each step is consistency.
    steps: number of supervised updates, or of consistency updates if
      `schedule` is "consistency". The list ends with the last of them.
    share: probability of a supervised step if `schedule` is "alternating".
    seed: seed of the draws.
    delay: number of supervised updates before the first consistency step.
  Returns:
    list of tuples of "supervised" and "consistency".
  """
  if schedule == "alternating":
    rng = np.random.default_rng([seed, 1])
    # The number of consistency steps before each supervised step has a
    # geometric distribution, as if each step were drawn.
    waits = rng.geometric(share, size=steps) - 1
    waits[:delay] = 0
    return [kind for wait in waits
            for kind in [(CONSISTENCY,)] * wait + [(SUPERVISED,)]]
  kinds = {"supervised": (SUPERVISED,), "consistency": (CONSISTENCY,),
           "combined": (SUPERVISED, CONSISTENCY)}
  if schedule != "combined":
    delay = 0
  return [(SUPERVISED,)] * min(delay, steps) + [kinds[schedule]] * (
      steps - delay)


def summary(kinds, taken, counted, objectives):
  """How many steps a run took, and when its objective's own loss began.

  Args:
    kinds: list of the kinds of each step, see `plan`.
    taken: number of steps that were taken; --patience may end a run early.
    counted: the kind of step that is an update.
    objectives: `{kind: Objective}`.
  Returns:
    `{kind: number of steps}`, and "objective_from", the number of updates
    before the objective's own loss; absent if it acts from the first update.
  """
  own = [i for i, step in enumerate(kinds) if CONSISTENCY in step]
  if own:
    begins = sum(counted in step for step in kinds[:own[0]])
  else:
    begins = max((o.begins for o in objectives.values()), default=0)
  counts = {kind: sum(kind in step for step in kinds[:taken])
            for kind in (SUPERVISED, CONSISTENCY)}
  return counts | ({"objective_from": begins} if begins else {})

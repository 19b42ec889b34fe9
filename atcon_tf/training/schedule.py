"""Which kind of step is taken when: decided on the host, from the seed.

The list is a pure function of its arguments, so that a resumed run continues
it and a run of another objective sees the same supervised batches.
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


def plan(schedule, steps, share, seed, delay=0):
  """The kinds of all steps of a run.

  Args:
    schedule: "supervised": every step is supervised; "alternating": each
      step is supervised with probability `share`, else consistency;
      "combined": every step is both; "consistency": none is supervised.
    steps: number of supervised updates (of consistency updates in a
      "consistency" schedule). The list ends with the last of them.
    share: probability of a supervised step in an "alternating" schedule.
    seed: of the draws.
    delay: supervised updates before the first consistency step.
  Returns:
    list of tuples of "supervised" and "consistency".
  """
  if schedule == "alternating":
    rng = np.random.default_rng([seed, 1])
    # As many consistency steps before each supervised one as a coin of this
    # probability would give.
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

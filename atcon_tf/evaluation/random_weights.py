"""A classifier with its weights in random order, for a while.

    with random_weights.of(classifier):
      maps = explain(images)       # of a network that has learned nothing
"""

import contextlib

import numpy as np

# The number of steps in which the layers below the logits become random.
STEPS = 4


def stages(classifier, steps=STEPS):
  """Groups of a classifier's layers, the one nearest to the logits first.

  Args:
    classifier: a `models.Classifier`.
    steps: number of groups below the logits.
  Returns:
    `{name: variables}`: "logits", then "25%" to "100%" of the layers below.
    Each variable is in one group.
  """
  layers = [layer for layer in reversed(classifier.network.layers)
            if layer.variables]
  parts = [layers[:1], *np.array_split(np.array(layers[1:], object), steps)]
  names = ["logits", *(f"{(i + 1) / steps:.0%}" for i in range(steps))]
  groups, seen = {}, set()
  for name, part in zip(names, parts):
    own = [v for layer in part for v in layer.variables if id(v) not in seen]
    seen |= {id(v) for v in own}
    if own:
      groups[name] = own
  return groups


def shuffle(variables, seed):
  """Puts the numbers of each variable in random order.

  This removes what was learned and keeps the distribution of each variable.
  With weights drawn anew activations may explode or vanish.

  Args:
    variables: list of Keras variables.
    seed: of the order, an int or a list of ints.
  """
  random = np.random.default_rng(seed)
  for variable in variables:
    values = variable.numpy()
    variable.assign(random.permutation(values.ravel()).reshape(values.shape))


@contextlib.contextmanager
def restored(variables):
  """Restores the values of variables when the block ends.

  The block is given a function that restores them before that.
  """
  before = [variable.numpy() for variable in variables]

  def restore():
    for variable, value in zip(variables, before):
      variable.assign(value)

  try:
    yield restore
  finally:
    restore()


@contextlib.contextmanager
def of(classifier, seed=0):
  """All weights of a classifier are in random order while the block runs.

  Args:
    classifier: a `models.Classifier`.
    seed: of the order.
  """
  groups = stages(classifier)
  with restored([v for group in groups.values() for v in group]):
    for number, group in enumerate(groups.values()):
      shuffle(group, [seed, number])
    yield

"""The state of a run: the part of a checkpoint that is not a variable."""

import dataclasses

import numpy as np

from atcon_tf.training import pseudo_labels
from atcon_tf.training.pseudo_labels import PseudoLabels
from atcon_tf.training.trainer import fetched

# What the names of the arrays of `mean` begin with.
_MEAN = "mean/"


@dataclasses.dataclass
class RunState:
  """The state of a run between two steps.

  Attributes:
    step: number of steps of the plan that are done.
    updates: number of these steps that --steps counts.
    seconds: seconds that the run has taken.
    best: the kept weights: "updates", "score" and "loss" on validation,
      "refit", "averaged" and "sha256"; None: no weights are kept yet.
    history: a dict for each validation: "step", the mean losses since the
      previous validation, and the scores, `val_...`.
    sums: `{loss: (sum, count)}` since the last validation.
    flat_mask: whether a nearly constant soft mask was reported.
    dead_maps: whether maps that are constant were reported.
    averaged: number of updates whose weights are in `mean`.
    mean_taken: whether the weights are that mean.
    refit: whether the head was fitted again after the last update.
    mean: list of arrays, see `weight_choice.average`.
    waiting: the losses of steps that are not in `sums` yet, because they are
      still on the device; see `settle`.
    pseudo_labels: `PseudoLabels` of the pool; None: the pool is not ranked.
  """

  step: int = 0
  updates: int = 0
  seconds: float = 0.0
  best: dict | None = None
  history: list = dataclasses.field(default_factory=list)
  sums: dict = dataclasses.field(default_factory=dict)
  flat_mask: bool = False
  dead_maps: bool = False
  averaged: int = 0
  mean_taken: bool = False
  refit: bool = False
  mean: list = dataclasses.field(default_factory=list)
  waiting: list = dataclasses.field(default_factory=list)
  pseudo_labels: PseudoLabels | None = None

  def add(self, logs):
    """Adds the losses of a step, scalars of any kind."""
    self.waiting.append(logs)

  def settle(self):
    """Fetches the losses of all steps into `sums`.

    Raises:
      FloatingPointError: a loss is not finite, or exploded; `step` is then
        that of the loss.
    """
    steps, self.waiting = self.waiting, []
    for i, logs in enumerate(steps):
      try:
        losses = fetched(logs)
      except FloatingPointError:
        self.step -= len(steps) - i
        raise
      for name, value in losses.items():
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = total + value, count + 1

  def take_means(self):
    """The mean losses since the last call; resets `sums`.

    Raises:
      FloatingPointError: a loss is not finite.
    """
    self.settle()
    means = {name: total / count
             for name, (total, count) in self.sums.items()}
    self.sums = {}
    return means

  def out_of_patience(self, config):
    """Whether --patience ends the training here: a function of the state."""
    every, patience = config.eval_every, config.patience
    waited = self.updates - (self.best["updates"] if self.best else 0)
    return bool(patience) and self.updates % every == 0 and (
        waited >= patience * every)

  @property
  def kept_row(self):
    """The index in `history` of the kept weights."""
    def same(row):
      return row["step"] == self.best["updates"] and all(
          row.get(kind, 0) == self.best.get(kind, 0)
          for kind in ("refit", "averaged"))
    # The last row, if an earlier version has not written what a row is of.
    return next((i for i, row in enumerate(self.history) if same(row)), -1)

  def to_arrays(self):
    """A dict of JSON values and `{name: array}`, for `from_arrays`."""
    self.settle()
    progress = {f.name: getattr(self, f.name)
                for f in dataclasses.fields(self)
                if f.name not in ("pseudo_labels", "mean", "waiting")}
    arrays = {f"{_MEAN}{i}": value for i, value in enumerate(self.mean)}
    ranked = self.pseudo_labels
    if ranked is None:
      return progress, arrays
    progress["bank"] = {"first": ranked.first, "updates": ranked.updates}
    arrays |= {"label": ranked.label, "weight": ranked.weight}
    if ranked.maps is not None:
      arrays["maps"] = ranked.maps
    return progress, arrays

  @classmethod
  def from_arrays(cls, progress, arrays, seed):
    """The inverse of `to_arrays`; `seed` is the seed of the run."""
    progress, arrays = dict(progress), dict(arrays)
    ranked = progress.pop("bank", None)
    mean = [arrays.pop(f"{_MEAN}{i}") for i in range(len(arrays))
            if f"{_MEAN}{i}" in arrays]
    state = cls(**progress, mean=mean)
    if ranked is not None:
      state.pseudo_labels = pseudo_labels.restored(**arrays, **ranked,
                                                   seed=seed)
    return state


def restored(work, variables, group, seed):
  """The state in a run's last checkpoint; its variables get their values.

  Args:
    work: the run's `run_folder.Workdir`; that of the chief counts.
    variables: `{name: keras.Variable}`.
    group: the `WorkerGroup` of the run, whose variables become the chief's.
    seed: of the run.
  Returns:
    a `RunState`; None: there is no checkpoint.
  """
  progress, arrays = work.load_checkpoint(variables)
  group.follow(variables.values())
  progress = group.same(progress)
  if progress is None:
    return None
  kinds = group.same({name: (a.shape, a.dtype.str)
                      for name, a in arrays.items()})
  arrays = dict(zip(kinds, group.copies([
      arrays[name] if group.chief else np.zeros(*kind)
      for name, kind in kinds.items()])))
  return RunState.from_arrays(progress, arrays, seed)

"""Where a run stands: what a checkpoint holds beside the variables."""

import dataclasses

from atcon_tf.training import pseudo_labels
from atcon_tf.training.pseudo_labels import PseudoLabels


@dataclasses.dataclass
class RunState:
  """Where a run stands.

  Attributes:
    step: steps of the plan that are done.
    updates: of these, the ones that --steps counts.
    seconds: time so far.
    best: `{"updates", "score", "refit"}` of the weights that are kept; None:
      none.
    history: a dict for each validation: "step", the mean losses since the
      one before, and the scores, `val_...`.
    sums: `{loss: (sum, count)}` since the last validation.
    flat_mask: whether a nearly constant soft mask was reported.
    refit: whether the head was fitted again after the last update.
    pseudo_labels: those of the unlabelled pool; None: not ranked yet.
  """

  step: int = 0
  updates: int = 0
  seconds: float = 0.0
  best: dict | None = None
  history: list = dataclasses.field(default_factory=list)
  sums: dict = dataclasses.field(default_factory=dict)
  flat_mask: bool = False
  refit: bool = False
  pseudo_labels: PseudoLabels | None = None

  def add(self, logs):
    """Adds the losses of a step to `sums`."""
    for name, value in logs.items():
      total, count = self.sums.get(name, (0.0, 0))
      self.sums[name] = total + value, count + 1

  def take_means(self):
    """The mean losses since the last call."""
    means = {name: total / count
             for name, (total, count) in self.sums.items()}
    self.sums = {}
    return means

  def to_arrays(self):
    """A JSON-able dict, and `{name: array}`: what `from_arrays` takes."""
    progress = {f.name: getattr(self, f.name)
                for f in dataclasses.fields(self) if f.name != "pseudo_labels"}
    ranked = self.pseudo_labels
    if ranked is None:
      return progress, {}
    progress["bank"] = {"first": ranked.first, "updates": ranked.updates}
    arrays = {"label": ranked.label, "weight": ranked.weight}
    if ranked.maps is not None:
      arrays["maps"] = ranked.maps
    return progress, arrays

  @classmethod
  def from_arrays(cls, progress, arrays, seed):
    """The inverse of `to_arrays`; `seed` is the run's."""
    progress = dict(progress)
    ranked = progress.pop("bank", None)
    state = cls(**progress)
    if ranked is not None:
      state.pseudo_labels = pseudo_labels.restored(**arrays, **ranked,
                                                   seed=seed)
    return state

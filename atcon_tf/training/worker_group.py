"""What the processes of a run tell each other.

Every process calls the same methods in the same order; a call returns when all
of them have called. A run of one process has a group of one, in which each
method returns its argument.
"""

import contextlib
import json
import re

import numpy as np
import tensorflow as tf

from atcon_tf.config import StartAgain
from atcon_tf.config import UserError
from atcon_tf.evaluation.predictor import Predictor
from atcon_tf.training import strategies

# How TensorFlow says that another process does not answer any more.
_GONE = (tf.errors.UnavailableError, tf.errors.AbortedError,
         tf.errors.CancelledError, tf.errors.DeadlineExceededError,
         tf.errors.FailedPreconditionError)


class WorkerGroup:
  """The processes that take the steps of a run.

  Attributes:
    count: number of processes.
    index: number of this process.
    chief: whether it is number 0, which alone writes the run's folder.
  """

  def __init__(self, strategy):
    """Prepares the group of a `tf.distribute.Strategy`."""
    self._strategy, tasks, own = strategy, [None], None
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
      resolver = strategy.cluster_resolver
      own = resolver.task_type, resolver.task_id
      jobs = resolver.cluster_spec().as_dict()
      tasks = [(job, i) for job in strategies.JOBS
               for i in range(len(jobs.get(job, ())))]
    self.count, self.index = len(tasks), tasks.index(own)
    self.chief = self.index == 0

  def total(self, array):
    """The sum over the processes of an array of one shape and type."""
    array = np.asarray(array)
    if self.count == 1 or not array.size:
      return array
    local = self._strategy.num_replicas_in_sync // self.count
    value = self._strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            array * (context.replica_id_in_sync_group % local == 0),
            array.dtype))
    return self._strategy.reduce("SUM", value, axis=None).numpy()

  def any(self, flag):
    """Whether a flag is true in some process."""
    return bool(flag) if self.count == 1 else bool(
        self.total(np.int32([bool(flag)]))[0])

  def part(self, items):
    """The share of this process in a list; the shares are nearly equal."""
    edges = [len(items) * i // self.count for i in range(self.count + 1)]
    return items[edges[self.index]:edges[self.index + 1]]

  def gather(self, array, count):
    """The rows of all processes.

    Args:
      array: `[n, ...]`, the rows of `part(items)`.
      count: the number of items, N.
    Returns:
      `[N, ...]` in the order of the items.
    """
    if self.count == 1:
      return array
    rows = np.zeros([count, *array.shape[1:]], array.dtype)
    rows[self.part(range(count))] = array
    return self.total(rows)

  def same(self, value):
    """The chief's value, which JSON can hold, in every process."""
    if self.count == 1:
      return value
    text = np.frombuffer(json.dumps(value, default=str).encode() if self.chief
                         else b"", np.uint8)
    size = int(self.total(np.int64([len(text)]))[0])
    text = text if self.chief else np.zeros([size], np.uint8)
    return json.loads(self.total(text.astype(np.int32)).astype(
        np.uint8).tobytes())

  def copies(self, arrays):
    """The chief's arrays in every process.

    Args:
      arrays: list of arrays, of the same shapes and types everywhere.
    """
    if self.count == 1:
      return arrays
    arrays, copied = list(map(np.asarray, arrays)), {}
    # One message for each type; TensorFlow does not send the small integers.
    sent = [a.dtype if a.dtype.kind == "f" else np.dtype(np.int64)
            for a in arrays]
    for dtype in sorted(set(sent), key=str):  # everywhere in one order
      flat = np.concatenate([a.ravel().astype(dtype)
                             for a, d in zip(arrays, sent) if d == dtype])
      copied[dtype] = self.total(flat if self.chief else np.zeros_like(flat))
    out = []
    for array, dtype in zip(arrays, sent):
      own, copied[dtype] = np.split(copied[dtype], [array.size])
      out.append(own.reshape(array.shape).astype(array.dtype))
    return out

  def follow(self, variables):
    """Gives variables the chief's values; a group of one changes nothing."""
    if self.count > 1:
      variables = list(variables)
      for variable, value in zip(variables, self.copies(
          [v.numpy() for v in variables])):
        variable.assign(value)

  def chief_first(self, work):
    """Calls `work()` on the chief, and then on the others.

    A `UserError` of the chief is raised in every process.

    Returns:
      what `work()` returns in this process.
    """
    if self.chief:
      try:
        done = work()
      except UserError as error:
        self.same(list(error.args))
        raise
      self.same(None)
      return done
    told = self.same(None)
    if told:
      raise UserError(*told)
    return work()

  def check_same(self, name, value):
    """Refuses a value, which JSON can hold, that is not the chief's.

    Args:
      name: of the setting, for the error.
      value: the split of the images.
    Raises:
      UserError: in every process, if it differs in one.
    """
    own = json.dumps(value, default=str)
    if self.any(own != self.same(own)):
      raise UserError(name, "multi_worker",
                      "the workers do not split the images alike; every "
                      "worker needs the same data and packages")

  @contextlib.contextmanager
  def together(self):
    """A context manager in which the end of one process ends the others.

    Raises:
      StartAgain: another process does not answer any more.
    """
    try:
      yield
    except _GONE as error:
      if self.count == 1:
        raise
      found = re.findall(r"/task:(\d+)", str(error))
      other = {int(i) for i in found} - {self.index}
      who = f"worker {other.pop()}" if len(other) == 1 else "another worker"
      raise StartAgain(
          f"{who} is gone, so worker {self.index} of {self.count} stops; "
          "start all workers again to continue from the last checkpoint"
      ) from error


class SharedPredictor(Predictor):
  """A `Predictor` whose logits a group of processes computes together."""

  def __init__(self, group, *arguments):
    """Prepares a classifier; `arguments` are those of `Predictor`."""
    super().__init__(*arguments)
    self._group, self._alone = group, False

  def logits(self, images, records, progress=False):
    """As `Predictor.logits`; every process gets the logits of all records."""
    if self._alone:
      return super().logits(images, records, progress)
    part = self._group.part(records)
    own = super().logits(images, part, progress) if part else np.zeros(
        [0, self.classifier.num_classes], self.classifier.logits.dtype)
    return self._group.gather(own, len(records))

  def predict(self, *arguments, **options):
    """As `Predictor.predict`, by this process alone."""
    self._alone = True
    try:
      return super().predict(*arguments, **options)
    finally:
      self._alone = False

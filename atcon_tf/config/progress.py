"""How far a long piece of work is, and how long the rest takes."""

import sys
import time

import tqdm

# Plain lines: seconds from the first unit of work to the first line, and
# between two lines. Quick work prints none.
FIRST, BETWEEN = 10, 60


def about(seconds):
  """A time in words.

  >>> about(44), about(200), about(9000)
  ('about 40 seconds', 'about 3 minutes', 'about 2.5 hours')
  """
  if seconds < 95:
    return f"about {max(10, round(seconds, -1)):.0f} seconds"
  if seconds < 95 * 60:
    return f"about {seconds / 60:.0f} minutes"
  return f"about {seconds / 3600:.1f} hours"


class Progress:
  """A bar on a terminal, plain lines elsewhere; both say the time left.

      progress = Progress(len(paths), "images")
      for path in paths:
        ...
        progress.add()

  The bar is written to the standard error if that is a terminal. Otherwise
  (a log file, a notebook) lines such as `120 of 320 images, about 2 minutes
  left` go to the standard output, the first after FIRST seconds. The time of
  the first unit is left out of the estimate, because TensorFlow compiles in it.
  """

  def __init__(self, total, unit, shown=True, done=0, clock=time.monotonic,
               at_most=False, then=""):
    """Begins the work.

    Args:
      total: number of units.
      unit: their name, plural.
      shown: whether anything is shown.
      done: the units that are done already.
      clock: function that returns seconds.
      at_most: the work may end before all units are done.
      then: what follows the work and is not in the time left.
    """
    self.total, self.done, self._unit = total, done, unit
    self._clock, self._start, self._bar = clock, None, None
    self._plain = shown and not sys.stderr.isatty()
    self._at_most = "at most " * at_most
    self._then = then and f", then {then}"
    if shown and not self._plain:
      self._bar = tqdm.tqdm(total=total, initial=done, unit=f" {unit}",
                            dynamic_ncols=True, mininterval=0.2,
                            postfix=then and f"then {then}")

  def add(self, count=1):
    """Says that so many units more are done."""
    self.update(self.done + count)

  def update(self, done):
    """Says how many units are done."""
    if self._bar is not None:
      self._bar.update(done - self.done)
    self.done = done
    if self._plain:
      self._line()
    if done >= self.total:
      self.close()

  def close(self):
    """Ends the bar, also of work that stops early."""
    if self._bar is not None:
      self._bar.close()
    self._plain = False

  def _line(self):
    now = self._clock()
    if self._start is None:
      self._start, self._next = (now, self.done), now + FIRST
      return
    begun, before = self._start
    if now < self._next or self.done == before or self.done >= self.total:
      return
    # A run of days leaves a log that can be read.
    self._next = now + max(BETWEEN, (now - begun) / 10)
    left = (now - begun) / (self.done - before) * (self.total - self.done)
    print(f"{self.done} of {self.total} {self._unit}, {self._at_most}"
          f"{about(left)} left{self._then}", flush=True)

"""SIGTERM, with which a machine is taken away: stop, and be started again."""

import contextlib
import os
import signal
import threading


@contextlib.contextmanager
def watched():
  """A context manager that notes SIGTERM instead of ending the process.

  Yields:
    function that returns whether the signal has come. Whoever calls it ends
    the work at a step of its choice by `StartAgain`. If the block is left
    otherwise, the signal ends the process after it. In a thread other than
    the main one nothing is noted.
  """
  came = []
  if threading.current_thread() is not threading.main_thread():
    yield lambda: False
    return
  before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
  try:
    yield lambda: bool(came)
  except BaseException:
    came.clear()  # the block ends the work itself
    raise
  finally:
    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    if came:
      os.kill(os.getpid(), signal.SIGTERM)

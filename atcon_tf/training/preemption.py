"""Signals that stop a training.

SIGTERM takes a machine away: the run stops after a step, to be started again.
Ctrl-C raises a KeyboardInterrupt. Python drops an exception that is raised in
a destructor, or in a callback of TensorFlow, so it is raised again later.
"""

import contextlib
import os
import signal
import threading


@contextlib.contextmanager
def watched():
  """A context manager that notes SIGTERM instead of ending the process.

  Yields:
    function that returns whether SIGTERM has come. Whoever calls it ends the
    work at a step of its choice by `StartAgain`. If the block is left
    otherwise, the signal ends the process after it. The function raises a
    KeyboardInterrupt if that of a Ctrl-C was dropped. In a thread other than
    the main one nothing is noted.
  """
  came, pressed = [], []
  if threading.current_thread() is not threading.main_thread():
    yield lambda: False
    return

  def asked():
    if pressed:
      raise KeyboardInterrupt
    return bool(came)

  def interrupt(*arguments):
    pressed.append(True)
    signal.default_int_handler(*arguments)

  before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))
  usual = signal.getsignal(signal.SIGINT)
  if usual is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupt)
  try:
    yield asked
  except BaseException:
    came.clear()  # the block ends the work itself
    raise
  finally:
    if usual is signal.default_int_handler:
      signal.signal(signal.SIGINT, usual)
    signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
    if came:
      os.kill(os.getpid(), signal.SIGTERM)

"""What is done to a process of tools/fault_campaign.py before it begins.

A moment is a matter of progress, not of the clock: the n-th call of a function
of the package, however fast the machine is at that time.
"""

import errno
import fcntl
import importlib
import itertools
import os
import resource
import signal
import threading


def kill_at(target, number, seconds=0.0):
  """Ends this process by SIGKILL within a call of a function.

  Args:
    target: "module:function" or "module:Class.method".
    number: of the call, from 1.
    seconds: after its begin.
  """
  module, _, path = target.partition(":")
  owner, (*outer, name) = importlib.import_module(module), path.split(".")
  for part in outer:
    owner = getattr(owner, part)
  function, calls = getattr(owner, name), itertools.count(1)

  def counted(*args, **options):
    if next(calls) == number:
      if not seconds:
        _die()
      threading.Timer(seconds, _die).start()
    return function(*args, **options)

  setattr(owner, name, counted)


def _die():
  os.kill(os.getpid(), signal.SIGKILL)


def limit_files(size):
  """Lets writes beyond a size fail, as on a full disk."""
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def without_locks():
  """Lets every lock fail, as on a network file system that has none."""
  def fails(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  fcntl.flock = fails

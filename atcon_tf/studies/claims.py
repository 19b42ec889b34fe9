"""Who makes what, among processes and machines that share a folder.

    with Claims(folder) as claims:
      if claims.take("atcon_2shot_seed0"):
        ...
        claims.release("atcon_2shot_seed0")

A claim is a folder NAME.0. A file system makes a folder once, so that of two
processes that try one succeeds; locks are not needed, which some network file
systems lack. Whoever holds a claim touches it from time to time. One that
was not touched for the time of a lease, or whose process has ended on this
machine, is taken over by the next generation, NAME.1.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import threading
import time

# Seconds after which a claim that nobody touches is free.
LEASE = 60.0


class Claims:
  """The claims of this process; to be used in a `with`."""

  def __init__(self, folder, lease=LEASE):
    """Prepares the claims.

    Args:
      folder: shared by the processes; it is made when the block begins.
      lease: seconds, see above. All processes need about the same.
    """
    self.folder, self.lease = pathlib.Path(folder), lease
    self._held, self._lock = {}, threading.Lock()
    self._ended = threading.Event()

  def __enter__(self):
    self.folder.mkdir(parents=True, exist_ok=True)
    self._thread = threading.Thread(target=self._renew, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *_):
    self._ended.set()
    self._thread.join()
    for name in list(self._held):
      self.release(name)
    with contextlib.suppress(OSError):
      # A killed process may have left the file of `_now`, or claims to what
      # it had finished. Any other claim says that others are at work.
      if all(name.startswith(".") or self._is_over(self.folder / name)
             for name in os.listdir(self.folder)):
        shutil.rmtree(self.folder, ignore_errors=True)

  def take(self, name):
    """Claims a name, a part of a file's name.

    Returns:
      whether the name is this process's now; not if another process, or
      another thread of this one, holds it.
    """
    with self._lock:
      generations = self._generations(name)
      if name in self._held or generations and not self._is_over(
          self._path(name, generations[-1])):
        return False
      number = generations[-1] + 1 if generations else 0
      path = self._path(name, number)
      try:
        self.folder.mkdir(parents=True, exist_ok=True)
        path.mkdir()
      except FileExistsError:
        return False
      (path / "owner").write_text(json.dumps([_here(), os.getpid()]))
      self._held[name] = number, lambda: None
      return True

  def on_loss(self, name, lost):
    """Says what is done if another process takes a held claim over.

    It does so if this process was stopped for longer than a lease.

    Args:
      name: that is held.
      lost: function, which is called from another thread.
    """
    with self._lock:
      if name in self._held:
        self._held[name] = self._held[name][0], lost

  def release(self, name):
    """Gives a name back."""
    with self._lock:
      own = self._held.pop(name, None)
      if own is None:
        return
      for number in self._generations(name):
        if number <= own[0]:
          shutil.rmtree(self._path(name, number), ignore_errors=True)

  @contextlib.contextmanager
  def alone(self, name):
    """A context manager that waits for a name, and then holds it."""
    while not self.take(name):
      time.sleep(0.1)
    try:
      yield
    finally:
      self.release(name)

  def _path(self, name, number):
    return self.folder / f"{name}.{number}"

  def _generations(self, name):
    """The numbers of the claims to a name, in their order."""
    try:
      entries = os.listdir(self.folder)
    except FileNotFoundError:
      return []
    parts = [entry.rpartition(".") for entry in entries]
    return sorted(int(number) for own, _, number in parts
                  if own == name and number.isdecimal())

  def _is_over(self, path):
    """Whether a claim has no living owner."""
    try:
      with contextlib.suppress(ValueError, OSError):
        place, process = json.loads((path / "owner").read_text())
        if place == _here() and not _alive(process):
          return True
      return self._now() - path.stat().st_mtime > self.lease
    except FileNotFoundError:  # given back a moment ago
      return False

  def _now(self):
    """The time by the clock of the file system, which dates the claims."""
    probe = self.folder / f".{socket.gethostname()}-{os.getpid()}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink(missing_ok=True)
    return now

  def _renew(self):
    """Touches what is held, until the block ends."""
    while not self._ended.wait(self.lease / 5):
      for name, (number, lost) in list(self._held.items()):
        with contextlib.suppress(OSError):  # tried again soon
          os.utime(self._path(name, number))
        if self._generations(name)[-1:] != [number] and (
            self._held.get(name, (None,))[0] == number):
          self._held.pop(name)
          lost()


def _here():
  """Where the numbers of processes are those of this process."""
  try:  # two containers can have the name of one host
    return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
  except OSError:
    return socket.gethostname()


def _alive(process):
  """Whether a process of this machine runs."""
  try:
    os.kill(process, 0)
  except ProcessLookupError:
    return False
  except (PermissionError, OverflowError):
    pass
  return True

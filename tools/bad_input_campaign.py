"""Wrong input of every kind: `python -m tools.bad_input_campaign`.

Hypothesis makes --inputs inputs: command lines, flag files, grids, annotation
files, pictures, weights, models, checkpoints, results and requests, each a
valid one that was changed or something made up. The code that reads them is
called in this process. Right is that it takes the input or refuses it in one
line (`UserError`, or an answer of 4xx). Wrong is anything else: another
exception, more than --seconds for one input, a file that is written or a
program that is started (an audit hook sees both). The table goes into --doc.
"""

import collections
import contextlib
import io
import os
import pathlib
import signal
import sys
import tempfile
import traceback
import warnings

from absl import flags
import hypothesis

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import UserError
from tools import bad_inputs
from tools import bad_requests

MARKS = ("<!-- bad_input_campaign.py begins -->",
         "<!-- bad_input_campaign.py ends -->")
# Events of Python that change files or start programs.
_CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link",
            "os.symlink", "os.truncate", "os.chmod", "shutil.rmtree"}
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn",
           "os.fork", "pickle.find_class"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class TooLong(BaseException):
  """An input took longer than allowed; nothing may catch it."""


class Watch:
  """Sees what the code does while an input is read."""

  def __init__(self):
    """Begins to listen to Python's audit events, for ever."""
    self._active, self.seen = False, []
    sys.addaudithook(self._hear)

  @contextlib.contextmanager
  def over(self, seconds):
    """A context manager for one input, with its limit of time."""
    def late(*_):
      raise TooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    self._active, self.seen = True, []
    try:
      yield
    finally:
      self._active = False
      signal.setitimer(signal.ITIMER_REAL, 0)
      signal.signal(signal.SIGALRM, before)

  def _hear(self, event, arguments):
    if not self._active:
      return
    if event in _STARTS or event in _CHANGES:
      self.seen.append(f"{event} {arguments[:1]}")
    elif event == "open":
      path, mode, number = arguments
      writes = any(c in mode for c in "wax+") if isinstance(mode, str) else (
          number & _WRITES)
      if writes and path != os.devnull and "__pycache__" not in str(path):
        self.seen.append(f"{event} {path}")


def attack(name, inputs, seconds, watch, folder):
  """Reads inputs of one kind.

  Args:
    name: in `bad_inputs.KINDS`.
    inputs: how many.
    seconds: for one.
    watch: a `Watch`.
    folder: `pathlib.Path`, for the files that are read.
  Returns:
    counts of "taken" and "refused", and a list of what is wrong.
  """
  folder.mkdir()
  strategy, prepare, read = bad_inputs.KINDS[name](folder)
  counts, wrong = collections.Counter(), []

  @hypothesis.settings(
      max_examples=inputs, deadline=None, database=None, derandomize=True,
      phases=[hypothesis.Phase.generate],
      suppress_health_check=list(hypothesis.HealthCheck))
  @hypothesis.given(strategy)
  def one(value):
    given = prepare(value)
    outcome, fault = "taken", ""
    try:
      with watch.over(seconds):
        read(given)
    except UserError as error:
      outcome = "refused"
      if "\n" in error.as_flags().strip():
        fault = f"more than a line: {error.as_flags()!r}"
    except bad_requests.Answer as answer:
      outcome = "refused" if 400 <= answer.status < 500 else "taken"
      if not (answer.status == 200 or outcome == "refused"):
        fault = f"status {answer.status}"
    except (Exception, TooLong) as error:  # whatever is not right
      where = traceback.extract_tb(error.__traceback__)[-1]
      fault = (f"{type(error).__name__}: {error}"[:200]
               + f" ({os.path.basename(where.filename)}:{where.lineno})")
    fault = fault or (f"it did {watch.seen[0]}" if watch.seen else "")
    counts["wrong" if fault else outcome] += 1
    if fault:
      wrong.append(f"{name}: {fault}: {value!r}"[:600])

  # What is said of an input is not read by anybody here.
  with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(
      io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    one()
  return counts, wrong


def run(inputs, seconds=20.0, only=()):
  """Reads inputs of every kind.

  Args:
    inputs: of all kinds together, about.
    seconds: for one input.
    only: names of the kinds; empty: all.
  Returns:
    `{kind: counts}`, and a list of what is wrong.
  """
  names, watch = only or list(bad_inputs.KINDS), Watch()
  table, wrong = {}, []
  with tempfile.TemporaryDirectory() as folder:
    for number, name in enumerate(names):
      share = -(-inputs // len(names))
      table[name], more = attack(name, share, seconds, watch,
                                 pathlib.Path(folder) / str(number))
      wrong += more
      print(f"{name}: {dict(table[name])}", flush=True)
  return table, wrong


def markdown(table, command):
  """The counts as a Markdown table."""
  lines = ["| input | tried | taken | refused in one line | wrong |",
           "|---|---|---|---|---|"]
  total = collections.Counter()
  for name, counts in table.items():
    total.update(counts)
    lines.append(f"| {name} | {counts.total()} | {counts['taken']} | "
                 f"{counts['refused']} | {counts['wrong']} |")
  lines.append(f"| **all** | {total.total()} | {total['taken']} | "
               f"{total['refused']} | {total['wrong']} |")
  return "\n".join([*lines, "", f"Command: `{command}`.", ""])


def main(argv):
  """Runs the campaign and writes its table."""
  del argv
  values = flags.FLAGS
  table, wrong = run(values.inputs, values.seconds, values.only)
  text = markdown(table, "python -m tools.bad_input_campaign "
                  f"--inputs={values.inputs}")
  print(text)
  if values.doc:
    files.between(values.doc, MARKS, text)
  if wrong:
    print(*wrong, sep="\n")
    raise UserError(f"{len(wrong)} inputs were neither taken nor refused in a "
                    "line")


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_integer("inputs", 2400, "inputs of all kinds together", 1)
  flags.DEFINE_float("seconds", 20.0, "for one input", 0.1)
  flags.DEFINE_list("only", [], "kinds of input; default: all")
  flags.DEFINE_string("doc", "", "write the table into this document")


if __name__ == "__main__":
  cli.run(main, define_flags)

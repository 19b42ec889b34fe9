"""What a command may write when nothing is wrong."""


def output(done):
  """The standard output of a command that ended well, and quietly.

  The standard error must be empty: no line of TensorFlow, Keras or a
  converter. As the output is no terminal, it has no escape codes either.

  Args:
    done: a `subprocess.CompletedProcess` with text of both.
  """
  assert done.returncode == 0, done.stderr[-2000:]
  assert not done.stderr, done.stderr[:2000]
  assert "\x1b" not in done.stdout and "\b" not in done.stdout
  return done.stdout

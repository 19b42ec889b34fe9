"""What a command prints when it refuses, for tests that call the library."""

import contextlib
import re

import pytest

from atcon_tf.config import UserError


@contextlib.contextmanager
def refused(line):
  """The block raises a `UserError` whose line of flags matches `line`."""
  with pytest.raises(UserError) as caught:
    yield caught
  assert re.search(line, caught.value.as_flags()), caught.value.as_flags()

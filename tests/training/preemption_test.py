"""Signals that come at a bad moment."""

import signal

import pytest

from atcon_tf.training import preemption


class _Destroyed:
  """Gets a Ctrl-C in its destructor, where Python drops exceptions."""

  def __del__(self):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_was_dropped_is_raised_at_the_next_step(
    interruptible):
  with pytest.raises(KeyboardInterrupt), preemption.watched() as asked:
    assert not asked()
    _Destroyed()
    asked()
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_request_to_end_is_noted_and_ends_the_process_after_the_block():
  seen, usual = [], signal.getsignal(signal.SIGTERM)
  signal.signal(signal.SIGTERM, lambda *_: seen.append(True))
  try:
    with preemption.watched() as asked:
      signal.raise_signal(signal.SIGTERM)
      assert asked() and not seen
    assert seen
  finally:
    signal.signal(signal.SIGTERM, usual)

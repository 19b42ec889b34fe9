"""Settings of runs that take seconds, on the drawn shapes."""

from atcon_tf.config import Config

TINY = dict(dataset="shapes", image_size=32, shots=2, steps=4, eval_every=2,
            checkpoint_every=1, bootstrap=20, summary_images=2,
            unlabeled="40", batch_size=4)


def tiny(**changes):
  return Config(**{**TINY, **changes}).resolve()

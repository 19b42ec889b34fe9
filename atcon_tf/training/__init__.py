"""One run, step by step."""

from atcon_tf.training.loop import Training
from atcon_tf.training.loop import train_and_evaluate

"""What a run reads, keeps and leaves in its folder."""

from atcon_tf.runs.run import Run
from atcon_tf.runs.run import load

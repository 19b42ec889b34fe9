"""From files to batches."""

from atcon_tf.data import pictures
from atcon_tf.data.record import Dataset
from atcon_tf.data.record import Record
from atcon_tf.data.registry import load

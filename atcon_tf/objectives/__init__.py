"""What is optimised: a paper a file, a loss for each image."""

from atcon_tf.objectives.base import Objective
from atcon_tf.objectives.registry import OBJECTIVES
from atcon_tf.objectives.registry import build

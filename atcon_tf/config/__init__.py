"""What a person tells the program, and how it answers a mistake."""

from atcon_tf.config.config import Config
from atcon_tf.config.errors import UserError
from atcon_tf.config.config_flags import define_flags
from atcon_tf.config.config_flags import from_flags

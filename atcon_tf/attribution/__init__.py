"""Which pixels speak for a class."""

from atcon_tf.attribution import maps
from atcon_tf.attribution.api import build
from atcon_tf.attribution.api import explain
from atcon_tf.attribution.registry import METHODS
from atcon_tf.models.classifier import enlarge

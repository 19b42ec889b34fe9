"""Attribution maps: which pixels of an image are evidence for a class.

`api` explains images by a method's name, `registry` has a row for each method
of `methods/`. Maps are `[B, h, w]`, raw (any sign and scale), and most can be
differentiated, so that a loss can be trained through them. `consistency` and
`attention_mask` are what ATCON and GAIN compute from such maps.
"""

from atcon_tf.attribution import maps
from atcon_tf.attribution.api import build
from atcon_tf.attribution.api import explain
from atcon_tf.attribution.registry import METHODS
from atcon_tf.models.classifier import enlarge

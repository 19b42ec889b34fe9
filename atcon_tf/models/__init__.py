"""A Keras network, cut open where its maps are."""

from atcon_tf.models.build import build
from atcon_tf.models.build import load
from atcon_tf.models.build import wrap
from atcon_tf.models.classifier import Classifier

"""Classifiers: Keras networks with access to the layers of their maps.

`build` makes one by the name of a backbone or from a .keras file, `wrap`
around a Keras model, `load` around the model in a file. All give a
`Classifier`, whose images are in [0, 1].
"""

from atcon_tf.models.build import build
from atcon_tf.models.build import load
from atcon_tf.models.build import wrap
from atcon_tf.models.classifier import Classifier

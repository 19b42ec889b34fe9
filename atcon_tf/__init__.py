"""Few-shot vision models whose explanations agree: ATCON in Keras 3."""

import os

# TensorFlow reads it when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

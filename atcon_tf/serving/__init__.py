"""A run as a model that is served.

The room sees no training data and no objective. `export` writes a run as the
next version of a SavedModel; decoding, resizing, both backward rules and the
overlay are in its graph. Who loads the model needs TensorFlow and neither
Keras nor this package.

Training decodes with PIL; a graph cannot call PIL. So `image_ops` and
`exif_orientation` repeat PIL's EXIF turn, alpha over white, frame and resize
in TensorFlow; tests/decoding_test.py holds both to one right value.

`server/` must run where TensorFlow is installed and Keras is not. Therefore
this file imports nothing when it is loaded; it loads `export` at first use.
"""

__all__ = ["export"]


def __getattr__(name):
  if name == "export":
    from atcon_tf.config import quiet
    with quiet.loading():
      from atcon_tf.serving.export_run import export
    return export
  raise AttributeError(f"module 'atcon_tf.serving' has no attribute '{name}'")

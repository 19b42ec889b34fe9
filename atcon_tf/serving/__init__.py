"""A run as a model that is served.

`server/` must run where TensorFlow is installed and Keras is not. Therefore
this file imports nothing when it is loaded; it loads `export` at first use.
"""

__all__ = ["export"]


def __getattr__(name):
  if name == "export":
    from atcon_tf.serving.export_run import export
    return export
  raise AttributeError(f"module 'atcon_tf.serving' has no attribute '{name}'")

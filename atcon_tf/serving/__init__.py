"""A run as a model that is served.

`server/` runs where TensorFlow is installed and Keras is not, so this file
imports nothing when it is loaded: `export` comes when it is first used.
"""

__all__ = ["export"]


def __getattr__(name):
  if name == "export":
    from atcon_tf.serving.export_run import export
    return export
  raise AttributeError(f"module 'atcon_tf.serving' has no attribute '{name}'")

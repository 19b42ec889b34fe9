"""Numbers about predictions, maps and differences: NumPy in, NumPy out.

`classification` scores probabilities, `localization` scores maps against
boxes and masks, `statistics` says how far such a number can be trusted.
Nothing here knows TensorFlow, a model or a file.
"""
METRICS = {}

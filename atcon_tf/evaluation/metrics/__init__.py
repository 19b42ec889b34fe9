"""Numbers about predictions, maps and differences: NumPy in, NumPy out.

`classification` scores probabilities, `localization` scores maps against
boxes and `segmentation` against masks, `faithfulness` and `road` against what
the classifier says of changed images, `sanity` tells whether a map depends on
what was learned, and `statistics` says how far such a number can be trusted.
Nothing here knows TensorFlow, a model or a file.

`METRICS[name](evidence) -> [P]`, one number for each pair of an image and a
class, NaN where the data cannot give it.

In the examples of this package there are two pairs: `images` and `maps` are
`[2, 8, 8, 1]` and `[2, 8, 8]`, 1 in their left half and 0 in the right one,
as are the `masks`; the first of the `boxes` is that half, the second its
upper half; `predict` gives the mean of the left half of an image, and
`explain` the same maps whatever the image.
"""

from atcon_tf.evaluation.metrics.evidence import Evidence
from atcon_tf.evaluation.metrics.registry import LOWER_IS_BETTER
from atcon_tf.evaluation.metrics.registry import METRICS

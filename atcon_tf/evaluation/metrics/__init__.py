"""Numbers about predictions, maps and differences: NumPy in, NumPy out.

`classification` scores probabilities. `localization` compares maps with
boxes, `segmentation` compares them with masks. `faithfulness`,
`removal_correlation`, `segment_removal` and `road` compare maps with the
classifier's output for changed images, `sensitivity` and `adcc` with maps of
changed images or other classes. `complexity` looks at a map alone. `sanity`
checks whether a map depends on what was learned, `algorithmic_stability`
whether two networks agree on it. `statistics` gives intervals
and tests of such numbers. This folder uses no TensorFlow, no model and no
file.

`METRICS[name](evidence) -> [P]` is one number for each pair of an image and a
class, NaN where the data do not allow it.

In the examples of this folder there are two pairs. `images` are `[2, 8, 8,
1]`, `maps` and `masks` are `[2, 8, 8]`, all of them 1 in the left half and 0
in the right half. The first of the `boxes` is the left half, the second is
its upper half. `predict` returns the mean of the left half of an image, and
`explain` returns `maps` for any images.
"""

from atcon_tf.evaluation.metrics.evidence import Evidence
from atcon_tf.evaluation.metrics.registry import LOWER_IS_BETTER
from atcon_tf.evaluation.metrics.registry import METRICS
from atcon_tf.evaluation.metrics.registry import NEEDS

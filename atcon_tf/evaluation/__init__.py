"""Scores of classifiers and of their attribution maps.

`predictor` runs a classifier on records, `scoring` turns its predictions into
scores and intervals, `comparison` tests two runs on the same images, and
`leaderboard` and `randomization` judge attribution methods. `metrics/` is
NumPy alone. Nothing here draws: that is `reports`.
"""

from atcon_tf.evaluation import metrics
from atcon_tf.evaluation.comparison import compare
from atcon_tf.evaluation.evaluate_run import evaluate
from atcon_tf.evaluation.leaderboard import judge

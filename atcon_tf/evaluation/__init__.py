"""What a classifier and its maps are worth, in numbers."""

from atcon_tf.evaluation import metrics
from atcon_tf.evaluation.comparison import compare
from atcon_tf.evaluation.evaluate_run import evaluate
from atcon_tf.evaluation.leaderboard import judge

"""What a classifier and its maps are worth, in numbers.

The room draws nothing (no matplotlib) and sees no loss.

Thresholds of probabilities and of maps are chosen on validation images and
then applied to test images. Probabilities are sigmoids or softmaxes in
float64, never logits. The operating points of binary data are the exception:
they are read off the ROC curve of the judged images themselves, as the AUC
is, so nothing is chosen for them.

`consistency` compares the Grad-CAM of an image with that of the image under
the guided mask, scaled by its standard deviation, at slope 8;
`consistency_raw` is the same without scaling, as published. Both are measured
for every run, whatever the run trained with.

Box IoU cuts the rectified Grad-CAM of each class that has a box at t times
its maximum, takes the box of the largest piece, and compares it with the
best true box. Mask IoU compares all of the map above t' times its maximum
with the class's mask; t' is another threshold. Beside every score of boxes
and masks stands the score of a centred box, point or rectangle, which looks
at no image.

What the frozen layers of a network give for an image is computed once in a
run (`frozen_prefix.py`), and kept in at most a gigabyte.
"""

from atcon_tf.evaluation import map_agreement
from atcon_tf.evaluation import map_cells
from atcon_tf.evaluation import metrics
from atcon_tf.evaluation import randomization
from atcon_tf.evaluation import tournament
from atcon_tf.evaluation.cases import cases_of
from atcon_tf.evaluation.comparison import compare
from atcon_tf.evaluation.evaluate_run import evaluate
from atcon_tf.evaluation.leaderboard import check_measurable
from atcon_tf.evaluation.leaderboard import judge

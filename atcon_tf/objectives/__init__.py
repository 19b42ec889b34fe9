"""The losses: a file for each paper, a value for each image.

`Objective.call(batch)` returns `{term: (value [B], weight [B])}` and never
reduces over the batch. The trainer divides each term once by the global sum
of its weights. A term whose factor in `loss_weights` is 0 is logged and adds
nothing to the loss.

An objective on unlabelled images is trained together with the supervised
objective. Any other objective replaces the supervised one, and the first
images of its batches are those of supervised training.

An objective may keep `variables` (trained, at the rate of new layers) and
`state` (not trained). Both are in the checkpoint. Neither is part of the
model: the classifier alone is tested and exported.

**Terms that start later.** The objective counts the updates in `state`, and
the weight of such a term is 0 until its first update. There is no `tf.cond`,
which fails around an update under several replicas. The checkpoint holds the
count, so a resumed run continues with it.

**Pseudo-labels.** An objective that needs the whole unlabelled pool has a
rule `pseudo_labels(logits [N, C]) -> (labels, weights)`. `training` scores the
pool with the current weights every `bank_every` supervised updates and stores
the pseudo-labels with the checkpoint.

**Heads.** `tame` and `l_cam` train a head that explains a frozen classifier,
which `warm_start` or `model` names. The head is the classifier's `attention`.
The classifier's variables are in no optimiser, and its batch normalisation
uses its own statistics; only the head's batch normalisation learns from the
batches. The batches hold the labelled images (all training images if `shots`
is 0); with `target="argmax"` their labels are not used. The mask multiplies
the image in [0, 1], as in the papers: 0 is black, not the mean.
"""

from atcon_tf.objectives.base import Objective
from atcon_tf.objectives.registry import OBJECTIVES
from atcon_tf.objectives.registry import build
from atcon_tf.objectives.model_losses import atcon_loss
from atcon_tf.objectives.model_losses import consistency

"""One run, step by step.

The room alone reduces `[B]` terms and counts replicas (`trainer.py`). Keras
does not divide the scalar loss of a custom `train_step` by the number of
replicas, so the trainer divides each term by its global weight.

**The start.** `start` says where a new head begins: at the class prior, or as
a probe, logistic regression on the frozen features (`probe.py`,
`head_start.py`), which the unlabelled images can join by their ranks. A probe
is validated before the first update and can be the best weights of the run,
so a run never ends worse on validation images than its probe. The objectives
`probe` and `ranked_probe` stop there. With `refit="on"` the probe is fitted
again on the features that training has changed.

**Steps.** A step takes one batch for each kind it is made of: supervised,
consistency, or both. The plan of all steps is a list that the host makes from
the seed; the graph holds no `tf.cond`. So a resumed run continues exactly,
and a run of another objective sees the same supervised batches.

**Counting.** `steps` is the number of supervised updates; consistency steps
come on top. With `schedule="consistency"` the consistency steps are counted.

**Batch normalisation** is frozen unless `batch_norm="train"`; then only the
supervised steps update its statistics.

**Optimisers.** There are three: for the backbone, for new layers, and for
consistency steps, each with its own rate and moments. An explanation head has
SGD over one cycle of the rate instead, in groups: kernels, scales of batch
normalisation, biases. All of them are in the checkpoint. A variable that a
loss does not reach (the head's bias under consistency) is not updated,
because Adam would move it.

**The best weights** are those of the highest mAP on validation images without
augmentation; of a run that trains a head, those of the lowest loss there,
because the classifier's mAP does not change. With `random_labels` the last
weights are kept, because the validation score is noise.
"""

from atcon_tf.training.fit import fit
from atcon_tf.training.loop import Training
from atcon_tf.training.loop import train_and_evaluate

"""Trains a run: its steps, validations, checkpoints and result.

Only `trainer.py` reduces `[B]` terms and counts replicas. Keras does not
divide the scalar loss of a custom `train_step` by the number of replicas, so
the trainer divides each term by its global weight.

**The start.** `start` chooses the first weights of a new head: the class
prior, or a probe, which is a logistic regression on the frozen features
(`probe.py`, `head_start.py`), with or without pseudo-labels of the unlabelled
images by their ranks. A probe is validated before the first update and can be
the weights that the run keeps, so with `keep="best"` a run never ends with a
lower validation mAP than its probe. The objectives `probe` and `ranked_probe`
end there. With `refit="on"` the probe is fitted again on the features of the
trained backbone.

**Steps.** A step is supervised, consistency, or both, and takes one batch for
each of these kinds. The plan of all steps is a list that the host makes from
the seed; the graph holds no `tf.cond`. So a resumed run continues exactly,
and a run of another objective sees the same supervised batches.

**Waiting.** The losses of a step stay on the device until they are shown or
saved (`run_state.py`). A loss that is not finite is found then, before
anything is written.

**Precision.** Steps, validations and rankings run the classifier that
`execution.of_steps` gives, in the precision of the settings. Probes and the
scores at the end are float32.

**Counting.** `steps` is the number of supervised updates; consistency steps
are additional. With `schedule="consistency"` `steps` counts consistency steps.

**Batch normalisation** is frozen unless `batch_norm="train"`; then only the
supervised steps update its statistics.

**Optimisers.** There are three: for the backbone, for new layers, and for
consistency steps, each with its own rate and moments. An explanation head has
SGD over one cycle of the rate instead, in groups: kernels, scales of batch
normalisation, biases. All of them are in the checkpoint. A variable that a
loss does not reach (the head's bias under consistency) is not updated,
because Adam would move it.

**The kept weights** (`weight_choice.py`) are those of the highest mAP on
validation images without augmentation; of equal ones the lower loss, then the
later. Of a run that trains a head they are those of the lowest loss there,
because the classifier's mAP does not change. `keep="last"` keeps the last, as
does `random_labels`, because the validation score is noise; `keep="average"`
keeps the mean of the weights over the last quarter of the updates. Scores,
figures and `tb/kept` are those of the kept weights.
"""

from atcon_tf.training import determinism
from atcon_tf.training.fit import fit
from atcon_tf.training.loop import Training
from atcon_tf.training.one_run import train_and_evaluate

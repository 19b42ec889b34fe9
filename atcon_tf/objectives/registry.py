"""The objectives by name: `OBJECTIVES[name].from_config(...)`."""

from atcon_tf.config.objective_settings import registry
from atcon_tf.objectives import agree
from atcon_tf.objectives import atcon
from atcon_tf.objectives import gain
from atcon_tf.objectives import l_cam
from atcon_tf.objectives import laso
from atcon_tf.objectives import layer_consistency
from atcon_tf.objectives import self_training
from atcon_tf.objectives import supervised
from atcon_tf.objectives import tame
from atcon_tf.objectives.base import CONSISTENCY
from atcon_tf.objectives.base import SUPERVISED

# The settings of each objective are in its row of
# `config/objective_settings/registry.py`.
OBJECTIVES = {
    "supervised": supervised.Supervised,
    # These two take no gradient step; the head is fitted when a run starts.
    "probe": supervised.Supervised,
    "ranked_probe": supervised.Supervised,
    "atcon": atcon.Atcon,
    "layer_consistency": layer_consistency.LayerConsistency,
    "self_training": self_training.SelfTraining,
    "agree": agree.Agree,
    "gain": gain.Gain,
    "laso": laso.Laso,
    "tame": tame.Tame,
    "l_cam": l_cam.LCam,
}


def build(classifier, config, task, twin=None):
  """The objectives of a run.

  Args:
    classifier: a `models.Classifier`.
    config: a resolved `Config`.
    task: a `base.Task`.
    twin: function that builds a second classifier with the same weights, for
      objectives with a teacher; None: no teacher is possible.
  Returns:
    `{kind of step: Objective}`: the supervised and the consistency objective
    if the objective has a term on unlabelled images, otherwise only the
    objective, as the supervised one.
  """
  make = OBJECTIVES[config.objective].from_config
  made = make(classifier, config, task, twin)
  if not registry.OBJECTIVES[config.objective].unlabeled:
    return {SUPERVISED: made}
  return {SUPERVISED: supervised.Supervised(classifier, task.multi_label,
                                            task.class_weights),
          CONSISTENCY: made}

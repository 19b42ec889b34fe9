"""What can be optimised: `OBJECTIVES[name]` makes a run's objectives."""

from atcon_tf.attribution import attention_mask
from atcon_tf.attribution import consistency
from atcon_tf.config.settings import UNLABELED
from atcon_tf.config import UserError
from atcon_tf.objectives import atcon
from atcon_tf.objectives.base import CONSISTENCY
from atcon_tf.objectives.base import SUPERVISED
from atcon_tf.objectives import gain
from atcon_tf.objectives import l_cam
from atcon_tf.objectives import laso
from atcon_tf.objectives import layer_consistency
from atcon_tf.objectives import self_training
from atcon_tf.objectives import supervised
from atcon_tf.objectives import tame


def _atcon(classifier, config, multi_label, teacher):
  del multi_label
  story = consistency.MapAgreement(
      config.first_map, config.second_map, config.match, config.similarity,
      config.mask_intensity, config.mask_scale, config.mask,
      options={"integrated_gradients": {"steps": config.ig_steps},
               "smooth_grad": {"samples": config.noise_samples}})
  return atcon.Atcon(classifier, story, config.target, config.stop_gradient,
                     teacher, config.ema_decay, config.consistency_weight)


def _layer_consistency(classifier, config, multi_label, teacher):
  del multi_label, teacher
  return layer_consistency.LayerConsistency(
      classifier, config.layer_loss, config.separation,
      weight=config.consistency_weight)


def _self_training(classifier, config, multi_label, teacher):
  del teacher
  return self_training.SelfTraining(
      classifier, multi_label, config.pseudo_per_class,
      config.pseudo_negatives, config.consistency_weight,
      config.equivariance_weight, config.atcon_weight)


def _gain(classifier, config, multi_label, teacher):
  del teacher
  binary = classifier.num_classes == 2 and not multi_label
  if config.am_on == "all" and not binary:
    raise UserError("am_on", "all",
                    "goes with data of two classes, one label an image; here "
                    "every label is a positive one")
  return gain.Gain(
      classifier, gain_attention(config), multi_label, config.gain_masks,
      config.cl_weight, config.am_weight, config.ex_weight,
      0 if binary and config.am_on == "positives" else None,
      config.am_gradient_scale if config.am_gradients == "on" else 0.0,
      config.am_start_step, config.ex_start_step)


def gain_attention(config):
  """The `gain.Attention` that a resolved `Config` describes."""
  fill = config.gain_fill
  if fill not in ("zero", "mean"):
    fill = tuple(int(value) / 255 for value in fill.split(","))
  return attention_mask.Attention(config.gain_omega, config.gain_sigma, fill)


def _laso(classifier, config, multi_label, teacher):
  del multi_label, teacher
  return laso.Laso(classifier, config.set_units, **{
      name: getattr(config, f"{name}_weight") for name in laso.WEIGHTS})


def _head(config, multi_label):
  """What TAME and L-CAM share."""
  return dict(multi_label=multi_label, target=config.target,
              cross_entropy_weight=config.cross_entropy_weight,
              area_weight=config.area_weight, area_power=config.area_power,
              variation_weight=config.variation_weight)


def _tame(classifier, config, multi_label, teacher):
  del teacher
  return tame.Tame(classifier, **_head(config, multi_label))


def _l_cam(classifier, config, multi_label, teacher):
  del teacher
  return l_cam.LCam(classifier, config.l_cam_version,
                    **_head(config, multi_label))


# What a run is for, beside or in place of the cross-entropy of the labelled
# images: name -> fn(classifier, config, multi_label, teacher) -> Objective.
# Those in `settings.UNLABELED` are about the unlabelled images; any other one
# takes the place of the supervised objective.
OBJECTIVES = {
    "supervised": None,
    "atcon": _atcon,
    "layer_consistency": _layer_consistency,
    "self_training": _self_training,
    "gain": _gain,
    "laso": _laso,
    "tame": _tame,
    "l_cam": _l_cam,
}


def build(classifier, config, multi_label, teacher=None):
  """The objectives of a run, `{kind of step: Objective}`.

  Args:
    classifier: a `models.Classifier`.
    config: a resolved `Config`.
    multi_label: several labels an image, or one.
    teacher: a `Classifier` that follows `classifier` (--teacher=ema).
  """
  built = {SUPERVISED: supervised.Supervised(classifier, multi_label)}
  make = OBJECTIVES[config.objective]
  if make:
    kind = CONSISTENCY if config.objective in UNLABELED else SUPERVISED
    built[kind] = make(classifier, config, multi_label, teacher)
  return built

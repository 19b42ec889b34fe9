"""A field of the settings: its default, its help line, its allowed values."""

import dataclasses

from atcon_tf.config.errors import UserError

# Random changes of training images; see `data/augment.py`.
AUGMENTATIONS = ("crop", "flip", "color", "rotation", "vertical_flip",
                 "cutout", "autocontrast", "randaugment")


def flag(default, text, *, choices=None, minimum=None, maximum=None,
         needs=None, zero=""):
  """A field that is also a flag.

  Args:
    default: value of the field if the user gives none.
    text: help line of the flag.
    choices: the allowed values; None: any.
    minimum, maximum: the allowed range; None: no limit.
    needs: `{other field: values}`. If the other field has none of these
      values, nothing uses this field, and a given value is refused.
    zero: a word that a command line may have in place of 0; "": there is none.
  """
  return dataclasses.field(default=default, metadata=dict(
      help=text, choices=choices, minimum=minimum, maximum=maximum,
      needs=needs or {}, zero=zero))


def check_augment(name, value):
  """Refuses a list of random changes with an unknown name in it."""
  unknown = [a for a in value if a not in AUGMENTATIONS]
  if unknown:
    raise UserError(name, value, f"no '{unknown[0]}'; any of "
                    f"{', '.join(AUGMENTATIONS)}")


def check_weights(config, names):
  """Refuses an objective all of whose terms are off."""
  if not any(getattr(config, name) for name in names):
    raise UserError(names[0], 0,
                    f"one of {', '.join(names)} must be more than 0")

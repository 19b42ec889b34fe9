"""The settings of clips: which frames of a recording a network sees.

A clip is `frames` frames of a recording, `[T, H, W, 3]`. Its frames are
addressed in seconds. With `clip_seconds` they divide that length evenly;
otherwise neighbours are `stride / fps` seconds apart.
"""

import dataclasses

from atcon_tf.config import defaults
from atcon_tf.config.errors import UserError
from atcon_tf.config.fields import flag

# The data sets whose images are clips, and the one that reads recordings.
CLIPS = {"dataset": ("video", "moving_shapes")}
RECORDINGS = {"dataset": ("video",)}

# The defaults of `frames` and, for files, of `stride`.
FRAMES, STRIDE = 16, 4
# They make another motion of some motions.
FLIPS = ("flip", "vertical_flip")
_AUGMENTED = ("augment", "strong_augment")
# The frames a second of a folder of frames, which has no time stamps.
FOLDER_RATE = 25


@dataclasses.dataclass(frozen=True)
class Clips:
  """The clips of a data set of videos."""

  frames: int = flag(
      0, f"frames of a clip; default: {FRAMES}", minimum=0, maximum=512,
      needs=CLIPS)
  stride: int = flag(
      0, "a clip takes every stride-th frame of its recording; default: "
      f"{STRIDE}, but 1 of a folder of frames", minimum=0, needs=RECORDINGS)
  fps: float = flag(
      0.0, "rate, in frames a second, to which --stride refers, and that of "
      "folders of frames; 0: the recording's own, and "
      f"{FOLDER_RATE} of folders of frames", minimum=0.0, needs=RECORDINGS)
  clip_seconds: float = flag(
      0.0, "length of a clip in seconds, which its frames divide evenly; 0: "
      "by --frames, --stride and --fps", minimum=0.0, needs=RECORDINGS)
  window_seconds: float = flag(
      0.0, "cut each recording into windows of this length in seconds, each "
      "a clip; it has the label of its class folder, or of the rows of --table "
      "that cover it, or none; 0: a recording is one clip", minimum=0.0,
      needs=RECORDINGS)
  test_clips: int = flag(
      1, "clips, evenly spread over each test recording, whose probabilities "
      "are averaged for its score", minimum=1, needs=RECORDINGS)
  clip_cache: str = flag(
      "", "folder that keeps the decoded clips, so that a run that was stopped "
      "goes on, and the next one starts at once; default: atcon_tf/clips in "
      "the user's cache (XDG_CACHE_HOME or ~/.cache)", needs=RECORDINGS)
  temporal_weights: str = flag(
      "per_step", "what the weights of the Grad-CAM family are averaged over "
      "in a clip. per_step: height and width, so that each time step has its "
      "own weights; pooled: time, height and width",
      choices=("per_step", "pooled"), needs=CLIPS)


def filled(config):
  """The defaults of clips, `{field: value}`; {} for images."""
  if config.dataset not in CLIPS["dataset"]:
    return {}
  found = {"frames": config.frames or FRAMES}
  if config.dataset == "moving_shapes":
    for name in _AUGMENTED:
      found[name] = tuple(a for a in getattr(config, name) if a not in FLIPS)
    if config.probe_views == "flip":
      found["probe_views"] = "plain"
  return found


def check(config, given):
  """Refuses settings of clips that contradict each other.

  Args:
    config: a `Config`.
    given: names of the fields that the user gave.
  Raises:
    UserError: names one of the settings, its value and what is allowed.
  """
  if config.clip_seconds:
    for name in ("stride", "fps"):
      if name in given:
        raise UserError(name, getattr(config, name),
                        "not used with --clip_seconds="
                        f"{config.clip_seconds}, which the frames divide")
  if defaults.of(config.model).clips and (
      config.dataset not in CLIPS["dataset"]):
    raise UserError("model", config.model,
                    "is a network of clips; it goes with --dataset="
                    f"{' or '.join(CLIPS['dataset'])}")
  if config.dataset == "video" and not (config.data_dir or config.table):
    raise UserError("data_dir", None,
                    "needed by --dataset=video without --table, the folder "
                    "with one sub-folder of clips per class")
  if config.dataset == "video" and config.group_column and not config.table:
    raise UserError("group_column", config.group_column,
                    "not used without --table, whose column it is")
  if config.dataset == "moving_shapes":
    for name in {*_AUGMENTED, "probe_views"} & set(given):
      value = getattr(config, name)
      if value == "flip" or set(value) & set(FLIPS):
        raise UserError(name, value, "a mirror image of --dataset="
                        "moving_shapes shows another class; leave flip out")
  if config.dataset == "moving_shapes" and config.unlabeled_dir:
    raise UserError("unlabeled_dir", config.unlabeled_dir,
                    "not used with --dataset=moving_shapes, which is drawn")

"""The labels that a run of clips gives to recordings of any length.

    ids, probability, bad = predict(runs.load("W/clips"), find(["new/*.mp4"]))
"""

import glob
import os

import numpy as np
import tensorflow as tf

from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data import record
from atcon_tf.data import recorded_clip
from atcon_tf.data import recordings
from atcon_tf.data import registry
from atcon_tf.models import probabilities


def find(patterns):
  """Paths of the recordings that files, folders and globs name.

  Args:
    patterns: list of video files, folders of frames, folders of these, and
      globs.
  Raises:
    UserError: a pattern names no recording.
  """
  found = {}
  for pattern in patterns:
    here = []
    for path in sorted(glob.glob(pattern)) or [pattern]:
      if os.path.isdir(path):
        here += [os.path.normpath(os.path.join(path, name))
                 for name in recordings.below(path).images]
      elif recordings.is_recording(path):
        here.append(path)
    if not here:
      raise UserError("images", pattern, "no recording there (a folder of "
                      f"frames, or {', '.join(recordings.ENDINGS)})")
    found |= dict.fromkeys(here)
  return list(found)


def predict(run, paths, progress=False):
  """The probabilities of the classes for recordings.

  A recording is one clip, or one of each window; --test_clips of the run are
  averaged, as in its scores.

  Args:
    run: a `runs.Run` on clips.
    paths: list of paths of recordings.
    progress: show a bar.
  Returns:
    the N clips that can be read (the path, and the seconds of a window),
    `[N, classes]`, and `{path: what is wrong}` of the others.
  """
  config, classifier = run.config, run.classifier
  label = np.zeros([classifier.num_classes], np.float32)
  cut = registry.cut_of(config)
  frame = None if config.resize == "squeeze" else (
      classifier.image_size, config.resize)
  clips = [record.Record(clip_id, clip, label, frame=frame)
           for path in paths for clip_id, clip in cut.clips(path, path)]
  views = {one.id: recorded_clip.views(one, config.test_clips)
           for one in clips}
  every = [v for of in views.values() for v in of]
  images = image_store.Images(every, classifier.image_size, len(every),
                              progress)
  known = {v.id for v in images.records}
  read = [name for name, of in views.items() if known >= {v.id for v in of}]
  views = [v for name in read for v in views[name]]
  logits = tf.function(
      lambda x: classifier.model(x, training=False),
      input_signature=[tf.TensorSpec([None, *classifier.image_shape],
                                     classifier.model.input.dtype)])
  bar, found = Progress(len(views), "clips", progress), []
  for part, pixels in pipeline.evaluation_batches(
      images, views, classifier.per_batch(
          pipeline.evaluation_size(config.eval_batch_size))):
    found.append(logits(pixels).numpy())
    bar.add(len(part))
  if not found:
    return [], np.zeros([0, classifier.num_classes]), images.bad
  probability = probabilities.probability(np.concatenate(found),
                                          run.multi_label)
  return read, probability.reshape(
      len(read), -1, classifier.num_classes).mean(1), images.bad

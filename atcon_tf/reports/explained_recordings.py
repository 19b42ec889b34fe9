"""The files that `explain --video` writes.

Of a classifier of images, which sees every frame alone:

    NAME_METHOD_CLASS.gif    the recording with one map over it (or .mp4)

Of a classifier of clips:

    NAME_METHOD_CLASS.gif    the clip with one map over it, and the evidence
                             over time below (or .mp4)
    NAME_strip.png           its frames beside all maps
    NAME.npz                 the raw maps, "METHOD/CLASS" -> [T, S, S], and the
                             "seconds" of the frames

`recording_events` has the files of --window_seconds.
"""

import io
import pathlib
import typing

import numpy as np

from atcon_tf.config import files
from atcon_tf.config import local_paths
from atcon_tf.config import UserError
from atcon_tf.data import clip_store
from atcon_tf.data import recordings
from atcon_tf.reports import explained_files
from atcon_tf.reports import explainer as explainers
from atcon_tf.reports import moving_pictures
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import contact_sheets
from atcon_tf.reports.figures import film_strips

# A frame is shown for at least so many seconds, alone and beside its curve.
_SHORTEST, _READABLE = .04, .1


class Clip(typing.NamedTuple):
  """A clip that is explained.

  Attributes:
    pictures: list of T uint8 `[height, width, 3]`, at most WIDE pixels wide.
    seen: float32 `[1, T, S, S, 3]`, as the network sees it.
    seconds: float `[T]`.
  """
  pictures: list
  seen: np.ndarray
  seconds: np.ndarray


def read(explainer, clip):
  """Reads a clip, a `Clip`.

  Args:
    explainer: an `explainer.Explainer` of a classifier of clips.
    clip: a `recorded_clip.RecordedClip`.
  Returns:
    the `Clip`, and lines on frames that did not decode.
  Raises:
    UserError: no frame decodes.
  """
  lost, pictures, seen = [], [], []
  try:
    for frame in clip.each(lost):
      seen.append(explainer.see(frame))
      pictures += moving_pictures.fitted([frame])
  except (ValueError, OSError) as error:
    raise UserError("video", clip.name, f"does not decode ({error})") from error
  notes = clip_store.notes({clip.name: {"lost": lost, "still": False}})
  return Clip(pictures, np.concatenate(seen)[np.newaxis], clip.seconds), notes


def explain_frames(explainer, video, folder, choose, ending="gif", **look):
  """Explains every frame of a recording by a classifier of images.

  Args:
    explainer: an `explainer.Explainer`.
    video: path of a video file or a folder of frames.
    folder: a `pathlib.Path` to write into.
    choose: mean probabilities of the frames `[classes]` -> list of the classes
      to explain.
    ending: "gif" or "mp4".
    **look: "colormap" and "alpha" of `contact_sheets.overlay`.
  Yields:
    lines on what was written.
  """
  path, lost = path_of(video), []
  try:
    recording = recordings.recording(str(path))
    frames = list(recording.each(recording.frame_seconds, lost))
  except (ValueError, OSError) as error:
    raise UserError("video", video, f"does not decode ({error})") from error
  yield from clip_store.notes({str(path): {"lost": lost, "still": False}})
  seen = np.concatenate([explainer.see(frame) for frame in frames])
  name, = explained_files.unique_names([path.stem])
  labels = explained_files.labels_of(explainer)
  for c in choose(explainer.probability(seen).mean(0)):
    for method in explainer.methods:
      file = folder / f"{name}_{method}_{labels[c]}.{ending}"
      explained_files.write_clip(
          file, explainers.explain_clip(explainer, frames, c, method, **look),
          max(1 / recording.rate, _SHORTEST))
      yield f"{file}: {count_of(frames, 'frame')}"


def explain_recording(explainer, video, cut, folder, choose, ending="gif",
                      **look):
  """Explains the clip in the middle of a recording.

  Args:
    explainer: an `explainer.Explainer` of a classifier of clips.
    video: path of a video file or a folder of frames.
    cut: a `recorded_clip.Cut`.
    folder: a `pathlib.Path` to write into.
    choose: probabilities `[classes]` -> list of the classes to explain.
    ending: "gif" or "mp4".
    **look: "colormap" and "alpha" of `moving_pictures.overlays`.
  Yields:
    lines on what was written.
  """
  path = path_of(video)
  clip, notes = read(explainer, cut.whole(str(path), path.name)[1])
  yield from notes
  name, = explained_files.unique_names([path.stem])
  yield from save_clip(explainer, clip, folder, name, choose, ending, look)


def path_of(video):
  """The path of a recording that exists."""
  path = pathlib.Path(local_paths.local("video", video))
  if not path.exists():
    raise UserError("video", video, "no such file or folder")
  return path


def count_of(things, one):
  """The number of things, as "1 frame"."""
  return f"{len(things)} {one}{'s' * (len(things) != 1)}"


def save_clip(explainer, clip, folder, name, choose, ending, look):
  """Writes the files of one clip.

  Args:
    explainer, folder, choose, ending, look: see `explain_recording`.
    clip: a `Clip`.
    name: of the clip, in the names of its files.
  Yields:
    lines on what was written.
  """
  probability = explainer.probability(clip.seen)[0]
  classes = choose(probability)
  labels = explained_files.labels_of(explainer)
  arrays, maps, rows = {"seconds": clip.seconds}, [], []
  photo = clip.pictures[0].shape[:2]

  def on_pictures(heat):
    return np.stack([explainer.on_photo(one, photo) for one in heat])

  step = float(np.median(np.diff(clip.seconds))) if len(
      clip.seconds) > 1 else 0
  for method in explainer.methods:
    for c in classes:
      heat = explainer.maps(clip.seen, method, c)[0]
      said = f"{explainer.class_names[c]} {probability[c]:.0%}"
      frames = moving_pictures.with_curve(
          moving_pictures.overlays(
              clip.pictures, on_pictures(contact_sheets.brightness(heat)),
              **look), film_strips.evidence(heat), clip.seconds, said)
      path = folder / f"{name}_{method}_{labels[c]}.{ending}"
      explained_files.write_clip(path, frames, max(step, _READABLE))
      yield f"{path}: {count_of(frames, 'frame')}"
      arrays[f"{method}/{explainer.class_names[c]}"] = heat
      maps.append(on_pictures(heat)[np.newaxis])
      rows.append(f"{method.replace('_', ' ')}\n{said}")
  figure = film_strips.side_by_side(
      np.stack(clip.pictures)[np.newaxis] / 255, maps, rows, [name],
      [clip.seconds])
  files.write_bytes(folder / f"{name}_strip.png", canvas.to_png(figure, 110))
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  files.write_bytes(folder / f"{name}.npz", buffer.getvalue())
  yield f"{folder / name}_strip.png, {name}.npz"

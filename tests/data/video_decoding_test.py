"""Frames of real video files by the second, and what is wrong with files."""

import pathlib

import numpy as np
import PIL.Image
import pytest

from atcon_tf.data import recordings
from atcon_tf.data.recorded_clip import Cut
from atcon_tf.data.recorded_clip import seconds_of
from atcon_tf.data.recorded_clip import windows
from tests.data import drawn_clips


def _at(path, seconds, fps=0.0):
  """Numbers of the frames at some seconds, and the seconds replaced."""
  lost = []
  frames = list(recordings.recording(str(path), fps).each(seconds, lost))
  return drawn_clips.numbers(frames), lost


@pytest.mark.parametrize("name, codec", [
    ("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"),
    ("a.webm", "libvpx"), ("a.avi", "mpeg4")])
def test_containers(tmp_path, name, codec):
  path = drawn_clips.write(tmp_path / name, drawn_clips.tenths(20), codec)
  found = recordings.recording(path)
  assert found.seconds == pytest.approx(2, abs=.11)
  assert found.rate == pytest.approx(10, rel=.06)
  # From a key frame, between two, and the last one.
  assert _at(path, [0, .55, 1.2, 1.25, 1.9]) == ([0, 5, 12, 12, 19], [])
  assert _at(path, [1.31]) == ([13], [])


def test_variable_frame_rate(tmp_path):
  """A frame is shown until the next one comes, whatever the mean rate is."""
  path = drawn_clips.write(tmp_path / "v.mp4", [0, .04, .08, .5, .9, 1.5])
  assert _at(path, [0, .05, .3, .5, .89, .9, 1.4, 1.5]) == (
      [0, 1, 2, 3, 3, 4, 4, 5], [])


def test_seconds_begin_with_the_first_frame(tmp_path):
  path = drawn_clips.write(tmp_path / "late.mkv", [
      3 + t for t in drawn_clips.tenths(10)])
  assert _at(path, [0, .5])[0] == [0, 5]


def test_rotation(tmp_path):
  path = drawn_clips.write(tmp_path / "phone.mp4", drawn_clips.tenths(3))
  (before,) = recordings.recording(path).each([.1], [])
  drawn_clips.rotate(path)
  (frame,) = recordings.recording(path).each([.1], [])
  np.testing.assert_array_equal(frame, before[::-1].transpose(1, 0, 2))
  assert before[2, 2].min() > 200 and frame[2, -3].min() > 200


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_damaged_frame_is_replaced_by_the_one_before(tmp_path, codec):
  """Frame 14 is the last before a key frame: no other depends on it."""
  path = drawn_clips.write(tmp_path / "d.mkv", drawn_clips.tenths(20), codec,
                           damaged=[14])
  numbers, lost = _at(path, [1.2, 1.3, 1.4, 1.45, 1.5])
  assert numbers == [12, 13, 13, 13, 15]
  assert lost == [1.4, 1.45]


def test_a_damaged_first_frame_is_replaced_by_the_next(tmp_path):
  path = drawn_clips.write(tmp_path / "d.mkv", drawn_clips.tenths(10),
                           key_every=1, damaged=[0])
  assert _at(path, [0, .1, .2]) == ([1, 1, 2], [0])


def test_a_file_that_was_cut_off(tmp_path):
  path = pathlib.Path(drawn_clips.write(
      tmp_path / "t.mkv", drawn_clips.tenths(20), "mpeg4"))
  whole = path.read_bytes()
  path.write_bytes(whole[:len(whole) * 2 // 3])
  numbers, lost = _at(path, [.5, .8, 1.6, 1.8])
  assert numbers[:2] == [5, 8] and numbers[2] == numbers[3] < 16
  assert lost == [1.6, 1.8]
  clip = Cut(frames=3, stride=1).part(str(path), "t", 1.6, 1.9)[1]
  with pytest.raises(ValueError, match="no frame decodes between 1.60 s and"):
    clip()


def test_a_folder_of_frames(tmp_path):
  """The numbers in names order them: 10.png comes after 9.png."""
  path = drawn_clips.folder(tmp_path / "f", 12)
  assert recordings.recording(path).seconds == 12 / 25
  assert _at(path, [0, .04, 10.2 / 25, 9]) == ([0, 1, 10, 11], [])
  assert _at(path, [.05, .2], fps=20) == ([1, 4], [])
  for name in ("3.png", "4.png"):
    (tmp_path / "f" / name).write_text("no picture")
  assert _at(path, [1 / 25, 2 / 25, 3 / 25, 4 / 25]) == (
      [1, 1, 1, 4], [2 / 25, 3 / 25])


def _empty(tmp_path):
  (tmp_path / "e.mp4").write_bytes(b"")
  return tmp_path / "e.mp4"


def _headless(tmp_path):
  path = pathlib.Path(drawn_clips.write(
      tmp_path / "h.mp4", drawn_clips.tenths(9)))
  path.write_bytes(path.read_bytes()[:600])
  return path


def _sizes(tmp_path):
  path = drawn_clips.folder(tmp_path / "s", 4)
  PIL.Image.new("RGB", (9, 9)).save(tmp_path / "s" / "3.png")
  return path


def _no_frames(tmp_path):
  (tmp_path / "n").mkdir()
  return tmp_path / "n"


@pytest.mark.parametrize("make, why", [
    (lambda p: drawn_clips.audio(p / "a.mp4"), "no video stream, only audio"),
    (_empty, "cut off at 0 s"), (_headless, "cut off at 0 s"),
    (_no_frames, r"holds no frame \(0 s\)"),
    (_sizes, "changes its size from 48x32 to 9x9 at 0.08 s"),
    (lambda p: drawn_clips.of_two_sizes(p / "s.mkv"),
     "changes its size from 48x32 to 24x16 at 0.30 s"),
    (lambda p: drawn_clips.of_two_sizes(p / "s.avi"),
     "changes its size from 48x32 to 24x16 at 0.30 s"),
    (lambda p: drawn_clips.nothing(p / "n.avi"), r"holds no frame \(0 s\)"),
    (lambda p: drawn_clips.nothing(p / "n.mp4"), "cut off at 0 s"),
    (lambda p: p / "absent.mp4", "No such file")])
def test_what_is_wrong(tmp_path, make, why):
  clip = Cut(frames=4, stride=1).whole(str(make(tmp_path)), "x")[1]
  with pytest.raises((ValueError, OSError), match=why):
    clip()


def test_a_clip_longer_than_its_recording_repeats_the_last_frame(tmp_path):
  path = drawn_clips.write(tmp_path / "a.mp4", drawn_clips.tenths(6))
  lost = []
  found = list(Cut(frames=5, stride=2).whole(path, "a")[1].each(lost))
  assert drawn_clips.numbers(found) == [0, 2, 4, 5, 5] and not lost
  one = drawn_clips.write(tmp_path / "one.mp4", [0])
  assert drawn_clips.numbers(Cut(frames=3).whole(one, "one")[1]()) == [0] * 3


def test_strides_rates_and_seconds(tmp_path):
  path = drawn_clips.write(tmp_path / "a.mp4", drawn_clips.tenths(20))
  def shown(**options):
    return drawn_clips.numbers(Cut(**options).whole(path, "a")[1]())
  assert shown(frames=4) == [2, 6, 10, 14]  # stride 4, in the middle
  assert shown(frames=4, stride=1) == [8, 9, 10, 11]
  assert shown(frames=4, stride=1, fps=5) == [6, 8, 10, 12]
  assert shown(frames=4, clip_seconds=2) == [0, 5, 10, 15]
  frames = drawn_clips.folder(tmp_path / "f", 6)
  clip = Cut(frames=4).whole(frames, "f")[1]
  assert drawn_clips.numbers(clip()) == [1, 2, 3, 4]  # of a folder stride 1


def test_a_part_ends_before_the_next(tmp_path):
  path = drawn_clips.write(tmp_path / "a.mp4", drawn_clips.tenths(20))
  name, clip = Cut(frames=4, stride=2).part(path, "a.mp4", .5, .8)
  assert name == "a.mp4#t=0.5,0.8"
  assert clip.name == f"{path}, 0.5 s to 0.8 s"
  assert drawn_clips.numbers(clip()) == [5, 7, 7, 7]
  assert Cut().part(path, "a.mp4", 1.5, None)[0] == "a.mp4#t=1.5"


def test_windows_and_seconds_by_hand():
  assert windows(10.5, 4) == [(0, 4), (4, 8), (8, 10.5)]
  assert windows(9, 4) == [(0, 4), (4, 9)] and windows(1, 4) == [(0, 1)]
  assert seconds_of(0, 4, 4, .5).tolist() == [1, 1.5, 2, 2.5]
  assert seconds_of(0, 4, 4, .5, share=1).tolist() == [2, 2.5, 3, 3.5]
  assert seconds_of(0, 1, 3, .5).tolist() == [0, .5, .999]

"""Class folders and tables of clips: parts, groups, windows, refusals."""

import pathlib
import re
import shutil

import numpy as np
import pytest

from atcon_tf import data
from atcon_tf.config import Config
from atcon_tf.data import clip_statistics
from atcon_tf.data import groups
from atcon_tf.data import image_store
from atcon_tf.data import splits
from tests.data import drawn_clips
from tests import refusals


def refused(call, line, starts=False):
  """The call raises a `UserError` of this line, or that starts with it."""
  with refusals.refused("^" + re.escape(line) + "$" * (not starts)):
    call()


@pytest.fixture(name="root", scope="module")
def _root(tmp_path_factory):
  """Class folders of 6 clips in 3 or 4 groups; only to be read."""
  root = tmp_path_factory.mktemp("clips")
  whole = drawn_clips.folder(root / "whole", 8)
  for name in ("Run", "Walk"):
    for g in range(4):
      for c in range(2 if g < 2 else 1):
        shutil.copytree(whole, root / "all" / name / f"v_{name}_g0{g}_c0{c}")
  return root / "all"


def _load(**settings):
  return data.load(Config(dataset="video", frames=4, **settings).resolve())


def test_class_folders_are_split_by_ucfs_groups(root):
  found = _load(data_dir=str(root))
  assert found.class_names == ("Run", "Walk") and found.frames == 4
  parts = {part: {r.group for r in rs} for part, rs in found.splits.items()}
  assert parts["train"] | parts["val"] | parts["test"] == {
      f"v_{n}_g0{g}" for n in ("Run", "Walk") for g in range(4)}
  for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
    assert not parts[a] & parts[b]
  split = splits.make(found, 1)
  assert groups.counted(found, split) == {
      part: len(of) for part, of in parts.items()}
  assert found.splits["train"][0].image().shape == (4, 32, 48, 3)


def test_a_group_may_not_be_in_two_given_splits(root, tmp_path):
  for part, g in (("train", 0), ("val", 1), ("test", 0)):
    for name in ("Run", "Walk"):
      shutil.copytree(root / name / f"v_{name}_g0{g}_c00",
                      tmp_path / part / name / f"v_{name}_g0{g}_c0{part[0]}")
  refused(lambda: _load(data_dir=str(tmp_path)),
          "group 'v_Run_g00' is in train ('train/Run/v_Run_g00_c0t') and in "
          "test ('test/Run/v_Run_g00_c0t'); train, val and test may share no "
          "group")


def test_windows_of_class_folders_stay_together(tmp_path):
  for name in ("run", "walk"):
    for n in range(5):
      drawn_clips.folder(tmp_path / name / str(n), 10)
  found = _load(data_dir=str(tmp_path), window_seconds=.2)
  every = [r for part in found.splits.values() for r in part]
  assert len(every) == 20 and len({r.group for r in every}) == 10
  assert {r.id for r in every if r.group == "run/3"} == {
      "run/3#t=0,0.2", "run/3#t=0.2,0.4"}


def _one_clip_classes(tmp_path):
  for name in ("a", "b"):
    drawn_clips.folder(tmp_path / name / "1", 2)
  return tmp_path


def _empty_class(tmp_path):
  _one_clip_classes(tmp_path)
  (tmp_path / "c").mkdir()
  (tmp_path / "c" / "notes.doc").write_text("x")
  shutil.rmtree(tmp_path / "a")
  for n in range(3):
    drawn_clips.folder(tmp_path / "a" / str(n), 2)
  shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
  return tmp_path


def _pictures_in_class(tmp_path):
  for name in ("a", "b"):
    drawn_clips.folder(tmp_path / name, 4)
  return tmp_path


@pytest.mark.parametrize("make, line", [
    (_one_clip_classes, "{0}/a: 1 clip(s); at least 3 are needed"),
    (_empty_class, "{0}/c: no clips in this class folder (.avi, .gif"),
    (_pictures_in_class, "{0}/a: holds pictures; the frames of each clip")])
def test_wrong_class_folders(tmp_path, make, line):
  root = make(tmp_path)
  refused(lambda: _load(data_dir=str(root)), line.format(root), starts=True)


def test_settings_that_do_not_fit(root):
  refused(lambda: _load(), "--data_dir: needed by --dataset=video without "
          "--table, the folder with one sub-folder of clips per class")
  refused(lambda: _load(data_dir=str(root), clip_seconds=2, stride=3),
          "--stride=3: not used with --clip_seconds=2, which the frames "
          "divide")
  refused(lambda: _load(data_dir=str(root), group_column="who"),
          "--group_column=who: not used without --table, whose column it is")


def test_unlabelled_clips_of_another_folder(root, tmp_path):
  drawn_clips.folder(tmp_path / "more" / "x", 3)
  drawn_clips.write(tmp_path / "more" / "y.mp4", drawn_clips.tenths(3))
  options = dict(data_dir=str(root), objective="atcon")
  found = _load(unlabeled_dir=str(tmp_path / "more"), **options)
  assert [r.id for r in found.splits["unlabeled"]] == [
      "unlabeled_dir:x", "unlabeled_dir:y.mp4"]
  assert not any(r.label.any() for r in found.splits["unlabeled"])
  refused(lambda: _load(unlabeled_dir=str(root / "Run"), **options),
          f"--unlabeled_dir={root / 'Run'}: holds clip 'Run/v_Run_g0",
          starts=True)


# Tables.


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory):
  """A folder of four recordings of 2 s; only to be read."""
  place = tmp_path_factory.mktemp("recordings")
  for n in range(1, 5):
    drawn_clips.write(place / f"{n}.mp4", drawn_clips.tenths(20))
  return place


def _table(place, tmp_path, lines, head="path,label,start,end", **settings):
  (tmp_path / "clips.csv").write_text("\n".join([head, *lines]) + "\n")
  return _load(table=str(tmp_path / "clips.csv"), data_dir=str(place),
               **settings)


ROWS = ["1.mp4,walk,0,1,train", "1.mp4,run,1,2,train", "2.mp4,,,,train",
        "3.mp4,walk,,1,val", "3.mp4,run,1,,val", "4.mp4,walk,0,0.9,test",
        "4.mp4,run,1.1,2,test"]
HEAD = "path,label,start,end,split"


def test_a_table(place, tmp_path):
  found = _table(place, tmp_path, ROWS, HEAD, stride=1)
  assert found.class_names == ("run", "walk")
  ids = {part: [r.id for r in rs] for part, rs in found.splits.items()}
  assert ids == {"train": ["1.mp4#t=0,1", "1.mp4#t=1,2"],
                 "val": ["3.mp4#t=0,1", "3.mp4#t=1"],
                 "test": ["4.mp4#t=0,0.9", "4.mp4#t=1.1,2"],
                 "unlabeled": ["2.mp4"]}
  first = found.splits["train"][0]
  assert first.group == "1.mp4" and first.label.tolist() == [0, 1]
  assert drawn_clips.numbers(first.image()) == [3, 4, 5, 6]
  assert drawn_clips.numbers(found.splits["val"][1].image()) == [13, 14, 15, 16]


def test_windows_of_a_table(place, tmp_path):
  """A window has the label of the row that covers most of it."""
  rows = ["1.mp4,walk,0,0.6,train", "1.mp4,run,1.2,1.4,train",
          *ROWS[3:]]
  found = _table(place, tmp_path, rows, HEAD, window_seconds=.5)
  def named(part):
    return {r.id.partition("=")[2]: "".join(
        n for n, l in zip(found.class_names, r.label) if l)
            for r in found.splits[part] if r.id.startswith("1")}
  assert named("train") == {"0,0.5": "walk", "1,1.5": "run"}
  assert named("unlabeled") == {"0.5,1": "", "1.5,2": ""}


def test_a_class_that_no_window_shows_is_named(place, tmp_path):
  rows = [*ROWS, "2.mp4,fall,0.8,0.9,train"]
  rows[2] = "2.mp4,walk,0,0.8,train"
  found = _table(place, tmp_path, rows, HEAD, window_seconds=1)
  assert found.class_names == ("run", "walk")
  assert "left out: 1 classes without an image: fall" in found.notes


@pytest.mark.parametrize("row, line", [
    ("1.mp4,walk,1.5,0.5", "the end at 0.5 s is not after the start at 1.5 s "
     "of {0}/1.mp4"),
    ("1.mp4,walk,5,6", "the start at 5 s is after the end of {0}/1.mp4 at "
     "2.00 s"),
    ("1.mp4,walk,x,6", "start 'x' of {0}/1.mp4 must be seconds from 0 on"),
    ("1.mp4,walk,0,nan", "end 'nan' of {0}/1.mp4 must be seconds from 0 on"),
    ("1.mp4,run,0.9,1.2", "'run' overlaps 'walk' of {1}, row 2 at 0.9 s of "
     "{0}/1.mp4; a moment has one class"),
    ("1.mp4,walk,0,1", "clip '1.mp4#t=0,1' is also in {1}, row 2"),
    ("7.mp4,walk,,", "no recording {0}/7.mp4; must be .avi, .gif, .m4v, .mkv, "
     ".mov, .mp4, .mpeg, .mpg, .webm or a folder of frames"),
    ("../x.mp4,walk,,", "'../x.mp4' does not lie below {0}")])
def test_wrong_rows(place, tmp_path, row, line):
  table = tmp_path / "clips.csv"
  refused(lambda: _table(place, tmp_path, ["1.mp4,walk,0,1", row]),
          f"{table}, row 3: " + line.format(place, table))


def test_a_group_of_a_table_may_not_be_in_two_parts(place, tmp_path):
  rows = [f"{n}.mp4,{label},{part},home"
          for n, label, part in ((1, "a", "train"), (2, "b", "train"),
                                 (3, "a", "val"), (4, "b", "test"))]
  refused(lambda: _table(place, tmp_path, rows, "path,label,split,group"),
          "group 'home' is in train ('1.mp4') and in val ('3.mp4'); train, val "
          "and test may share no group")


# The store and the statistics.


def test_clips_are_decoded_once_and_go_on_after_a_stop(tmp_path, monkeypatch):
  for name in ("run", "walk"):
    for n in range(4):
      drawn_clips.folder(tmp_path / "all" / name / str(n), 6, first=n)
  found = _load(data_dir=str(tmp_path / "all"),
                clip_cache=str(tmp_path / "cache"))
  records = [r for part in found.splits.values() for r in part]
  decode, decoded = image_store.decode, []

  def stopped(one, *rest):
    if len(decoded) == 5:
      raise KeyboardInterrupt
    decoded.append(one.id)
    return decode(one, *rest)

  monkeypatch.setattr(image_store.os, "cpu_count", lambda: 1)
  monkeypatch.setattr(image_store, "decode", stopped)
  with pytest.raises(KeyboardInterrupt):
    image_store.Images(records, (16, 24))
  assert len(list((tmp_path / "cache").rglob("*.npy"))) == 5
  monkeypatch.setattr(image_store, "decode", lambda one, *rest: (
      decoded.append(one.id), decode(one, *rest))[1])
  images = image_store.Images(records, (16, 24))
  assert sorted(decoded) == sorted(r.id for r in records)
  assert not list((tmp_path / "cache").rglob(".part*"))
  assert images.pixels.shape == (8, 4, 16, 24, 3)
  assert isinstance(images.pixels[3], np.memmap)
  for row, one in enumerate(records):
    np.testing.assert_array_equal(images.pixels[row], decode(one, (16, 24)))
  np.testing.assert_array_equal(
      images.pixels[np.array([2, 5])], np.asarray(images.pixels)[[2, 5]])
  other = image_store.Images(records, 16)  # of another size: decoded again
  assert len(decoded) == 16 and other.pixels[0].shape == (4, 16, 16, 3)


def test_what_was_replaced_is_said_also_of_stored_clips(tmp_path):
  for name in ("run", "walk"):
    for n in range(3):
      drawn_clips.folder(tmp_path / "all" / name / str(n), 6)
  place = tmp_path / "all" / "run" / "1"
  (place / "4.png").write_text("no picture")
  drawn_clips.folder(tmp_path / "all" / "walk" / "one", 1)
  bad = drawn_clips.audio(tmp_path / "all" / "walk" / "radio.mp4")
  found = _load(data_dir=str(tmp_path / "all"),
                clip_cache=str(tmp_path / "cache"))
  records = [r for part in found.splits.values() for r in part]
  refused(lambda: image_store.Images(records, 16),
          f"{bad}: does not decode (ValueError: no video stream, only audio); "
          "it is one image more than --max_bad_images=0")
  for _ in range(2):
    images = image_store.Images(records, 16, max_bad_images=1)
    assert list(images.bad) == [bad] and "walk/radio.mp4" not in images
    assert images.notes() == [
        f"note: {place}: 1 frame from 0.12 s on did not decode; each is "
        "replaced by the nearest earlier one",
        "note: 1 clip shows one frame alone, repeated: "
        f"{tmp_path / 'all' / 'walk' / 'one'}"]


def test_no_room_for_decoded_clips(root, tmp_path):
  (tmp_path / "file").write_text("")
  found = _load(data_dir=str(root), clip_cache=str(tmp_path / "file"))
  refused(lambda: image_store.Images(found.splits["train"], 16),
          f"--clip_cache={tmp_path / 'file'}: Not a directory; decoded clips "
          "are kept there")


def test_statistics_by_hand(tmp_path):
  for n, count in enumerate((2, 4, 12)):
    drawn_clips.folder(tmp_path / "run" / f"v_run_g0{n // 2}_c0{n}", count)
    drawn_clips.folder(tmp_path / "walk" / str(n), 5)
  found = _load(data_dir=str(tmp_path))
  every = [r for part in found.splits.values() for r in part]
  rows = clip_statistics.table({"all": every}, found.class_names)
  # .08 s, .16 s and .48 s; sd = sqrt((.16**2 + .08**2 + .24**2) / 2).
  assert rows[0] == {
      "part": "all", "class": "run", "clips": 3, "mean_seconds": .24,
      "median_seconds": .16, "sd_seconds": .212, "total_seconds": .72,
      "groups": 2}
  assert rows[1]["groups"] == 3 and rows[1]["sd_seconds"] == 0
  assert clip_statistics.text(rows) == [
      "part  class  clips  mean s  median s  sd s  total s  groups",
      "all   run        3    0.24      0.16  0.21     0.72       2",
      "all   walk       3    0.20      0.20  0.00     0.60       3"]
  assert clip_statistics.table({"all": []}, found.class_names) == []
  # Of two frames, 0.04 s each, the second stands for the third and fourth.
  assert clip_statistics.short_note({"all": every}) == [
      "note: 1 of 6 clips are longer than their recordings and repeat the last "
      "frame (run/v_run_g00_c00: 2 times); a smaller --stride, or "
      "--clip_seconds, takes frames that are closer together"]


def test_real_clips(data_dir):
  found = _load(data_dir=str(data_dir / "ucf101_frames"))
  rows = clip_statistics.table(found.splits, found.class_names)
  assert sum(row["clips"] for row in rows) == 149
  assert all(row["clips"] == row["groups"] >= 4 for row in rows)
  one = found.splits["test"][0]
  clip = one.image()
  assert clip.shape == (4, 128, 171, 3)
  middle = pathlib.Path(one.image.path) / "06.jpg"
  np.testing.assert_array_equal(clip[0], data.pictures.read(middle))

"""What a run says of its images, and names that it must keep."""

import csv
import json

import numpy as np
import PIL.Image

from atcon_tf import config as config_lib
from atcon_tf.config import config_flags
from atcon_tf.runs import run_data


def _photos(root, names, count=6):
  random = np.random.default_rng(0)
  for name in names:
    (root / name).mkdir(parents=True)
    for i in range(count):
      PIL.Image.fromarray(random.integers(0, 255, [9, 9, 3], np.uint8)).save(
          root / name / f"{i}.png")


def _config(root, **more):
  return config_lib.Config(
      dataset="folder", data_dir=str(root), model="tiny_cnn", image_size=16,
      objective="supervised", shots=0, **more).resolve()


def test_a_copy_of_a_training_image_in_the_test_set_is_named(tmp_path, capsys):
  for split in ("train", "val", "test"):
    _photos(tmp_path / "data" / split, ["a", "b"])
  for split in ("train", "val", "test"):  # the parts above hold copies
    for name in ("a", "b"):
      for i in range(6):
        if (split, name, i) not in (("train", "a", 0), ("test", "a", 0)):
          PIL.Image.new("RGB", (9, 9), (
              i * 40, 100 * (name == "a"),
              ["train", "val", "test"].index(split) * 90)).save(
                  tmp_path / "data" / split / name / f"{i}.png")
  data = run_data.load(_config(tmp_path / "data"), tmp_path / "splits.json")
  said = capsys.readouterr().out
  assert said.count("have the pixels of a training image") == 1
  assert ("1 of the 12 test images" in said and "test/a/0.png and "
          "train/a/0.png" in said)
  assert len(data.records["test"]) == 12


def test_notes_of_the_data_are_said(tmp_path, capsys):
  _photos(tmp_path / "data", ["a", "b"])
  (tmp_path / "data/a/x.heic").write_bytes(b"x")
  run_data.load(_config(tmp_path / "data"), tmp_path / "splits.json")
  assert "1 file that is no picture (1 .heic)" in capsys.readouterr().out


def test_odd_names_survive_flags_and_json(tmp_path):
  """Commas, quotes, spaces, signs of shells and formulas, other scripts."""
  names = ['a, "b"', "$x_1$ 50%", "\u732b", "it's <b>#1"]
  _photos(tmp_path / "my photos, $May [2]", names, 3)
  config = _config(tmp_path / "my photos, $May [2]", classes=tuple(names))
  text = config.to_flags()
  (tmp_path / "flags.txt").write_text(text, "utf-8")
  again = config_flags.parse([f"--flagfile={tmp_path / 'flags.txt'}"])
  assert again == config
  assert config_lib.Config.from_json(config.to_json()) == config
  assert next(csv.reader(line.partition("=")[2] for line in text.splitlines()
                         if line.startswith("--classes="))) == names
  data = run_data.load(config, tmp_path / "splits.json")
  assert data.class_names == tuple(names)
  split = json.loads((tmp_path / "splits.json").read_text("utf-8"))
  assert {i.rpartition("/")[0] for i in split["test"]} == set(names)

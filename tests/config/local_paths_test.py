"""Paths as people write them: ~, addresses, commas, brackets."""

import ast
import os
import pathlib

from absl import flags
import pytest

from atcon_tf.config import Config
from atcon_tf.config import local_paths
from atcon_tf.config import path_flags
from atcon_tf.config import presets
from atcon_tf.config import UserError
from atcon_tf.config.config import PATHS
from atcon_tf.data import pictures
from atcon_tf.runs import run
from atcon_tf.runs import run_folder
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_home_folder():
  home = os.environ["HOME"]
  assert local_paths.local("workdir", "~/run") == f"{home}/run"
  assert local_paths.local("workdir", "~") == home
  assert local_paths.local("workdir", pathlib.Path("~/run")) == f"{home}/run"
  # A folder of this name here is what nobody means.
  pathlib.Path("~").mkdir()
  assert local_paths.local("workdir", "~/run") == f"{home}/run"
  # But a file may begin with the sign, and a person may not exist.
  pathlib.Path("~copy.jpg").touch()
  assert local_paths.local("images", "~copy.jpg") == "~copy.jpg"
  assert local_paths.local("images", "~nobody-here/a") == "~nobody-here/a"


@pytest.mark.parametrize("path", [
    "gs://bucket/run", "s3://b/r", "hdfs://x", "https://x.org/a.jpg",
    "file:///tmp/a"])
def test_an_address_is_refused_with_nothing_written(path):
  for call in (lambda: local_paths.local("workdir", path),
               lambda: run_folder.Workdir(path, Config()),
               lambda: run.load(path)):
    with pytest.raises(UserError, match="only files of this machine"):
      call()
  assert not os.listdir(".")


def test_every_path_of_the_settings():
  for name in PATHS:
    with pytest.raises(UserError, match=f"{name}='gs://b'"):
      Config(**{name: "gs://b"}).resolve()
  config = Config(dataset="folder", data_dir="~/photos").resolve()
  assert config.data_dir == f"{os.environ['HOME']}/photos"
  with pytest.raises(UserError, match="only files of this machine"):
    presets.find("grid", "gs://b/grid.json")


def test_flags():
  values = flags.FlagValues()
  path_flags.path("workdir", "W/run", "folder", values)
  path_flags.paths("images", "files", values)
  path_flags.multi_path("compare", "runs", values)
  pathlib.Path("a, b.jpg").touch()
  pathlib.Path("c").mkdir()
  pathlib.Path("c/x,y").touch()
  values(["x", "--workdir=~/run", "--images=a, b.jpg,c/x,y,d.jpg, e*,~/f",
          "--compare=~/one", "--compare=two"])
  home = os.environ["HOME"]
  assert values.workdir == f"{home}/run"
  assert values.images == ["a, b.jpg", "c/x,y", "d.jpg", "e*", f"{home}/f"]
  assert values.compare == [f"{home}/one", "two"]
  with pytest.raises(flags.Error, match="workdir=gs://b: only files"):
    values(["x", "--workdir=gs://b"])


def test_brackets_and_commas_in_names_of_pictures():
  folder = pathlib.Path("set [2], May")
  folder.mkdir()
  for name in ("a[1].jpg", "b, c.jpg", "d.png"):
    (folder / name).touch()
  def found(pattern):
    return [p.name for p in pictures.find([pattern])]
  assert found("set [2], May") == ["a[1].jpg", "b, c.jpg", "d.png"]
  assert found("set [2], May/*.jpg") == ["a[1].jpg", "b, c.jpg"]
  assert found(f"{os.getcwd()}/set [2], May/[ab]*") == ["a[1].jpg", "b, c.jpg"]
  assert found("set [2], May/a[1].jpg") == ["a[1].jpg"]
  assert found("set*/d*") == ["d.png"]
  assert found("**/d.png") == ["d.png"]


@pytest.mark.parametrize("command", sorted(
    path.name for path in (ROOT / "atcon_tf").glob("[a-z]*.py")))
def test_no_command_defines_a_path_as_a_plain_string(command):
  """A path is what has a default below W/; `path_flags` expands its `~`."""
  calls = [node for node in ast.walk(ast.parse(
      (ROOT / "atcon_tf" / command).read_text())) if isinstance(node, ast.Call)]
  plain = [call.args[0].value for call in calls
           if ast.unparse(call.func) == "flags.DEFINE_string"
           and ast.unparse(call.args[1]).startswith("'W/")]
  assert not plain

"""An installed wheel has every command, page and preset."""

import concurrent.futures
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import types
import venv
import zipfile

import pytest

from tests.conftest import ROOT

COMMANDS = sorted(p.stem for p in (ROOT / "atcon_tf").glob("[!_]*.py"))
# Package data of the clone, and where they lie in the wheel.
DATA = {p.relative_to(ROOT).as_posix(): (
    p.relative_to(ROOT) if p.is_relative_to(ROOT / "atcon_tf")
    else "atcon_tf" / p.relative_to(ROOT)).as_posix()
        for pattern in ("atcon_tf/**/*.html", "flags/**/*.flags",
                        "flags/**/*.json") for p in ROOT.glob(pattern)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """The path of the wheel, built from a copy of the clone."""
  folder = tmp_path_factory.mktemp("wheel")
  source = folder / "source"
  for name in ("atcon_tf", "flags"):
    shutil.copytree(ROOT / name, source / name,
                    ignore=shutil.ignore_patterns("__pycache__"))
  for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
    shutil.copy(ROOT / name, source)
  own = int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
  done = subprocess.run(
      [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "-q",
       "-w", str(folder), *(["--no-build-isolation"] if own else [])],
      capture_output=True, text=True, check=False)
  if done.returncode and not own and "No matching distribution" in done.stderr:
    pytest.skip("setuptools>=77 is not installed and pip cannot fetch it")
  assert done.returncode == 0, done.stderr[-2000:]
  return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
  """A fresh environment with the wheel, and an empty folder to run it in.

  Other packages are those of this environment.
  """
  folder = tmp_path_factory.mktemp("installed")
  venv.create(folder / "venv", symlinks=True)
  python = folder / "venv/bin/python"
  subprocess.run([sys.executable, "-m", "pip", "--python", str(python),
                  "install", "-q", "--no-deps", str(wheel)], check=True)
  site = next((folder / "venv/lib").glob("python*/site-packages"))
  (site / "others.pth").write_text("\n".join(sorted(
      {sysconfig.get_path(kind) for kind in ("purelib", "platlib")})))
  (folder / "empty").mkdir()
  environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

  def run(command, *arguments, **more):
    return subprocess.run(
        [folder / "venv/bin" / command, *arguments], cwd=folder / "empty",
        env=environment | more, capture_output=True, text=True, check=False)

  return types.SimpleNamespace(run=run, site=site)


def test_the_wheel_has_every_module_page_and_preset(wheel):
  names = set(zipfile.ZipFile(wheel).namelist())
  modules = {p.relative_to(ROOT).as_posix()
             for p in (ROOT / "atcon_tf").rglob("*.py")}
  assert modules <= names
  assert len(DATA) > 15 and set(DATA.values()) <= names
  assert all(name.startswith("atcon_tf") for name in names)


def test_every_script_shows_its_flags(installed):
  """Two at a time; each prints the first line that the list has of it."""
  listed = installed.run("python", "-m", "atcon_tf")
  assert listed.returncode == 0, listed.stderr
  lines = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines()
               if line.startswith("  "))
  assert sorted(lines) == COMMANDS
  assert str(installed.site / "atcon_tf/flags") in listed.stdout
  scripts = [f"atcon-{name.replace('_', '-')}" for name in COMMANDS]
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    done = list(pool.map(lambda s: installed.run(s, "--help"), scripts))
  for name, one in zip(COMMANDS, done):
    assert "Traceback" not in one.stderr, one.stderr[-2000:]
    assert lines[name] in one.stdout, name
    assert any(flag in one.stdout for flag in (
        "--model", "--workdir", "--grid", "--data_dir")), name


def test_the_list_needs_no_tensorflow(installed):
  code = ("import runpy, sys; sys.modules['tensorflow'] = None; "
          "runpy.run_module('atcon_tf', run_name='__main__')")
  assert installed.run("python", "-c", code).returncode == 0


def test_serving_without_its_packages_is_one_line(installed, tmp_path):
  (tmp_path / "uvicorn.py").write_text(
      "raise ModuleNotFoundError('no uvicorn', name='uvicorn')")
  done = installed.run("atcon-serve", "--model=W", PYTHONPATH=str(tmp_path))
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1] == (
      "error: uvicorn is not installed: pip install 'atcon_tf[serve]'")


def test_presets_and_grids_are_found_from_an_empty_folder(installed):
  code = ("import sys; from atcon_tf.config import config_flags as c; "
          "print(c.parse(sys.argv[1:]).to_flags())")
  done = installed.run("python", "-c", code, "--shots=4",
                       "--flagfile=flags/voc_8shot_supervised.flags")
  assert done.returncode == 0, done.stderr
  assert {"--dataset=voc", "--objective=supervised"} <= set(
      done.stdout.split())
  # The grid is read, and what follows it refused.
  done = installed.run("atcon-study", "--grid=flags/studies/voc_fewshot.json",
                       "--", "--data_dri=x")
  assert done.returncode == 2
  assert "Unknown command line flag 'data_dri'" in done.stderr
  done = installed.run("atcon-study", "--grid=flags/studies/typo.json")
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith(
      "error: --grid=flags/studies/typo.json: no such file; the presets lie in "
      f"{pathlib.Path(installed.site).resolve()}")

"""The commands that train and export print can be pasted into a shell."""

import subprocess

import pytest

from atcon_tf import export
from atcon_tf import prepare
from atcon_tf import train


@pytest.mark.parametrize("folder", [
    "W/run", "my runs/first one", "it's $HOME", "a;b `c` (1)", "\u732b [2]"])
def test_a_shell_gives_the_same_words(folder):
  for command, word in ((train.tensorboard(folder), f"--logdir={folder}/tb"),
                        (export.serve(folder), f"--model={folder}"),
                        (prepare.train(folder), f"--data_dir={folder}")):
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True,
        check=True, encoding="utf-8")
    assert word in done.stdout.splitlines()


def test_plain_names_stay_plain():
  assert train.tensorboard("W/run") == (
      "tensorboard --logdir=W/run/tb --samples_per_plugin=images=100")

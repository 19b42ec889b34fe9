"""Sizes of images: one side, or height and width."""

import json

import pytest

from atcon_tf.config import Config
from atcon_tf.config import image_sizes
from tests.config.command_line import parse
from tests.refusals import refused


@pytest.mark.parametrize("given, pair, short", [
    (32, (32, 32), 32), ("32", (32, 32), 32), ("24x48", (24, 48), "24x48"),
    ("32X32", (32, 32), 32), ((48, 24), (48, 24), "48x24")])
def test_all_ways_to_say_it(given, pair, short):
  assert image_sizes.pair(given) == pair and image_sizes.short(given) == short


def test_a_config_of_wide_images():
  got = parse("--image_size=24x48")
  assert got.image_size == "24x48" and "--image_size=24x48" in got.to_flags()
  assert got.resolve() == got == Config.from_json(got.to_json())
  assert Config(image_size=(24, 48)).resolve().image_size == "24x48"
  assert json.loads(parse("--image_size=32x32").to_json())["image_size"] == 32


@pytest.mark.parametrize("size, line", [
    ("24x8", "--image_size=24x8: must be at least 16"),
    ("24x9999", "--image_size=24x9999: must be at most 4096"),
    ("wide", "--image_size=wide: must be a side in pixels, or HEIGHTxWIDTH"),
    ("8x8x3", "--image_size=8x8x3: must be a side in pixels"),
    ((1, 2, 3), "--image_size=.*must be a side in pixels")])
def test_what_is_no_size(size, line):
  with refused(line):
    Config(image_size=size).resolve()

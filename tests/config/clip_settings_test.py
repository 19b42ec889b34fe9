"""Settings of clips: what a drawn motion may not be mirrored by."""

import pytest

from atcon_tf.config import Config
from atcon_tf.config import UserError


@pytest.mark.parametrize("settings", [
    {}, dict(objective="probe", start="probe"),
    dict(model="mobilenet_v2", objective="self_training")])
def test_motions_are_not_mirrored(settings):
  config = Config(dataset="moving_shapes", **settings).resolve()
  for name in ("augment", "strong_augment", "probe_views"):
    if "flip" in getattr(config, name):  # nothing uses it
      assert name not in config.to_flags()
  assert config.resolve() == config
  assert Config.from_json(config.to_json()).resolve() == config
  assert "flip" in Config(dataset="shapes").resolve().augment


def test_a_flip_is_refused():
  with pytest.raises(UserError, match="augment=.*another class; leave flip"):
    Config(dataset="moving_shapes", objective="supervised").resolve(
        {"augment"})

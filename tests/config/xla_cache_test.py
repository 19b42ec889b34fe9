"""Where XLA keeps what it has compiled."""

import os

from atcon_tf.config import xla_cache


def _keep(monkeypatch, cache, flags=None):
  """What `keep` returns, and what it leaves in TF_XLA_FLAGS."""
  monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
  monkeypatch.setenv("TF_XLA_FLAGS", flags or "")
  return xla_cache.keep(), os.environ["TF_XLA_FLAGS"]


def test_a_folder_of_the_users_cache(tmp_path, monkeypatch):
  path = tmp_path / "atcon_tf" / "xla"
  option = f"--tf_xla_persistent_cache_directory={path}"
  assert _keep(monkeypatch, tmp_path) == (str(path), option)
  assert path.is_dir()
  assert _keep(monkeypatch, tmp_path, "--tf_xla_auto_jit=2") == (
      str(path), f"--tf_xla_auto_jit=2 {option}")


def test_the_users_own_folder_stays(tmp_path, monkeypatch):
  own = "--tf_xla_persistent_cache_directory=/mine"
  assert _keep(monkeypatch, tmp_path, own) == ("", own)
  assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_kept(tmp_path, monkeypatch):
  (tmp_path / "atcon_tf").write_text("a file in the way")
  assert _keep(monkeypatch, tmp_path) == ("", "")
  assert _keep(monkeypatch, tmp_path / "two words") == ("", "")

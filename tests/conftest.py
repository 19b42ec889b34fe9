"""What the tests share: two logical CPUs, and where the real data are.

Data outside the repository may be absent: tests of it skip, by name.
"""

import contextlib
import os
import pathlib
import signal

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
DATA = pathlib.Path(os.environ.get("ATCON_DATA_DIR", SHARED / "data"))

# Two replicas on any machine; must come before TensorFlow's first operation.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture
def data_dir():
  """The folder of the real data (ATCON_DATA_DIR, or ../shared/data)."""
  if not DATA.is_dir():
    pytest.skip(f"no real data in {DATA} (set ATCON_DATA_DIR)")
  return DATA


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
  """Folder of one finished ATCON run of a few steps on the drawn shapes."""
  from atcon_tf import training  # heavy: only for the tests that want a run
  from atcon_tf.config import Config

  path = tmp_path_factory.mktemp("session") / "run"
  training.train_and_evaluate(Config(
      dataset="shapes", shots=2, steps=4, eval_every=2, bootstrap=20,
      summary_images=2, unlabeled="40", batch_size=4,
      unlabeled_batch_size=4).resolve(), path)
  return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
  """Folder of two finished runs, "atcon" and "supervised"; to be read only."""
  from atcon_tf import training
  from tests import tiny_runs

  root = tmp_path_factory.mktemp("session") / "finished"
  for objective in ("atcon", "supervised"):
    training.train_and_evaluate(tiny_runs.tiny(objective=objective),
                                root / objective)
  return root


@pytest.fixture(scope="session")
def tiny_export(tiny_run):
  """Folder of the versions of that run, exported once."""
  from atcon_tf import runs
  from atcon_tf import serving

  out = tiny_run.parent / "served"
  serving.export(runs.load(tiny_run), out)
  return out


@pytest.fixture(scope="module")
def server(tiny_export):
  """The reference server at work on that export."""
  from tests import server_process

  one = server_process.Server(tiny_export, "--timeout=5")
  yield one
  one.process.kill()
  one.process.wait()


@pytest.fixture(scope="session")
def inspection_dir(tmp_path_factory):
  """A folder of drawn binary inspection data, to be read only.

  Grey parts with scratches; a positive one has a bright stain and, but for
  each third in training, a mask of it. Images are JPEG and PNG, 48 x 40.
  """
  root = tmp_path_factory.mktemp("session") / "inspection"
  rng = np.random.default_rng(0)
  y, x = np.mgrid[:40, :48] + 0.5
  for split, positives, negatives in [("training", 12, 28),
                                      ("validation", 8, 12),
                                      ("testing", 10, 20)]:
    for name, count in [("positives", positives), ("negatives", negatives)]:
      folder = root / split / name
      folder.mkdir(parents=True)
      for i in range(count):
        image = rng.normal(rng.uniform(70, 110), 8, [40, 48, 3])
        image[:, rng.integers(48)] -= 50  # a scratch
        if name == "positives":
          r = rng.uniform(5, 9)
          stain = np.hypot(x - rng.uniform(r, 48 - r),
                           y - rng.uniform(r, 40 - r)) < r
          image[stain] += [90, 40, 10]
          if split != "training" or i % 3:
            PIL.Image.fromarray(np.uint8(255 * stain)).save(
                folder / f"{i:02d}m.png")
        PIL.Image.fromarray(np.uint8(image.clip(0, 255))).save(
            folder / (f"{i:02d}.jpg" if i % 2 else f"{i:02d}.png"))
  return root


@pytest.fixture
def browser_page():
  """A function that opens a page in a real browser, for a `with`."""
  from tests import browser

  with contextlib.ExitStack() as stack:
    def page(**options):
      try:
        return stack.enter_context(browser.page(**options))
      except browser.Unavailable as error:
        pytest.skip(str(error))
    yield page


@pytest.fixture
def float64():
  """Keras in float64: layers follow the policy, inputs follow floatx."""
  before = keras.config.floatx(), keras.config.dtype_policy()
  keras.config.set_floatx("float64")
  keras.config.set_dtype_policy("float64")
  yield
  keras.config.set_floatx(before[0])
  keras.config.set_dtype_policy(before[1])


@pytest.fixture
def interruptible():
  """Ctrl-C works, which a shell turns off for programs in the background."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)

"""What the tests share: two logical CPUs, and where the real data are.

Data outside the repository may be absent: tests of it skip, by name.
"""

import os
import pathlib

import keras
import pytest
import tensorflow as tf

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"
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


@pytest.fixture
def float64():
  """Keras in float64: layers follow the policy, inputs follow floatx."""
  before = keras.config.floatx(), keras.config.dtype_policy()
  keras.config.set_floatx("float64")
  keras.config.set_dtype_policy("float64")
  yield
  keras.config.set_floatx(before[0])
  keras.config.set_dtype_policy(before[1])

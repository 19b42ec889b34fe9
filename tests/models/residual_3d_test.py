"""Networks of clips: torchvision's layers, padding, names and weights."""

import collections
import io
import pickle
import struct
from unittest import mock
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from atcon_tf import config
from atcon_tf import models
from atcon_tf.models import backbones
from atcon_tf.models import residual_3d
from atcon_tf.models import state_dict
from tests import small_clips

# torchvision's documentation: parameters with the 400 classes of Kinetics.
PUBLISHED = {"r3d_18": 33_371_472, "mc3_18": 11_695_440,
             "r2plus1d_18": 31_505_325}
# The last map of 16 frames of 112 pixels.
MAPS = {"r3d_18": (2, 7, 7), "mc3_18": (16, 7, 7), "r2plus1d_18": (2, 7, 7)}


@pytest.mark.parametrize("name", residual_3d.NAMES)
def test_parameters_and_map_are_the_published_ones(name):
  model = residual_3d.make(name, 16, (112, 112))
  trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
  assert trained + 512 * 400 + 400 == PUBLISHED[name]
  assert model.output_shape == (None, *MAPS[name], 512)
  names = [layer.name for layer in model.layers
           if isinstance(layer, keras.layers.Conv3D)]
  if name == "r2plus1d_18":
    assert {"stem_0", "stem_3", "layer1_0_conv1_0_0", "layer1_0_conv1_0_3",
            "layer2_0_downsample_0"} <= set(names)
  else:
    assert {"stem_0", "layer1_0_conv1_0", "layer4_1_conv2_0",
            "layer2_0_downsample_0"} <= set(names)


@pytest.mark.parametrize("size", [(4, 16), (5, 17)])
def test_strided_convolutions_are_padded_on_both_sides(size):
  """PyTorch's sum by hand: cell n looks at 2n - 1, 2n and 2n + 1."""
  frames, side = size
  x = np.random.default_rng(0).normal(size=[1, frames, side, side, 1])
  clip = keras.Input(x.shape[1:])
  layer = residual_3d._convolution(clip, 1, (3, 3, 3), (2, 2, 2), "c")
  model = keras.Model(clip, layer)
  model.set_weights([np.ones([3, 3, 3, 1, 1])])
  padded = np.pad(x[0, ..., 0], 1)
  found = model(x.astype(np.float32)).numpy()[0, ..., 0]
  for t, row, column in np.ndindex(found.shape):
    window = padded[2 * t:2 * t + 3, 2 * row:2 * row + 3,
                    2 * column:2 * column + 3]
    np.testing.assert_allclose(found[t, row, column], window.sum(), atol=1e-4)


# What a file of PyTorch looks like, written without PyTorch: the pickle of a
# state dict with persistent ids of storages, and the storages' bytes.

class _Global:
  """Pickled as the name of a function or class of torch."""

  def __init__(self, module, name):
    self.module, self.name = module, name


class _Tensor:
  """Pickled as a call of torch's function that rebuilds a tensor."""

  def __init__(self, key, array, stride=None, offset=0):
    self.key, self.array = key, array
    self.stride, self.offset = stride, offset


def _write(path, tensors, extra=b"", order=b"little"):
  """Writes a state dict as torch.save does; `extra` goes before its STOP."""
  out, storages = io.BytesIO(), []
  out.write(b"\x80\x02ccollections\nOrderedDict\n)R(")
  for name, value in tensors.items():
    one = value if isinstance(value, _Tensor) else _Tensor(None, value)
    array = np.ascontiguousarray(one.array)
    key = str(len(storages))
    storages.append(array)
    kind = {"f": b"FloatStorage", "i": b"LongStorage"}[array.dtype.kind]
    stride = one.stride or [s // array.itemsize for s in array.strides]
    out.write(b"X" + struct.pack("<I", len(name)) + name.encode())
    out.write(b"ctorch._utils\n_rebuild_tensor_v2\n(")
    out.write(b"(" + _text("storage") + b"ctorch\n" + kind + b"\n"
              + _text(key) + _text("cpu") + _int(array.size) + b"tQ")
    out.write(_int(one.offset))
    out.write(b"(" + b"".join(map(_int, array.shape)) + b"t")
    out.write(b"(" + b"".join(map(_int, stride)) + b"t")
    out.write(b"\x89ccollections\nOrderedDict\n)RtR")
  out.write(b"u" + extra + b".")
  with zipfile.ZipFile(path, "w") as file:
    file.writestr("archive/data.pkl", out.getvalue())
    file.writestr("archive/byteorder", order)
    for key, array in enumerate(storages):
      swapped = array.byteswap() if order == b"big" else array
      file.writestr(f"archive/data/{key}", swapped.tobytes())
    file.writestr("archive/version", b"3\n")


def _text(value):
  return b"X" + struct.pack("<I", len(value)) + value.encode()


def _int(value):
  return b"J" + struct.pack("<i", value)


def _state_of(model):
  """Random tensors of torchvision's names and shapes for a network."""
  rng, found = np.random.default_rng(0), collections.OrderedDict()
  for layer in model.layers:
    key = layer.name.replace("_", ".")
    if isinstance(layer, keras.layers.Conv3D):
      d, h, w, i, o = layer.kernel.shape
      found[f"{key}.weight"] = rng.normal(
          size=[o, i, d, h, w]).astype(np.float32)
    elif isinstance(layer, keras.layers.BatchNormalization):
      for part in ("weight", "bias", "running_mean", "running_var"):
        found[f"{key}.{part}"] = rng.uniform(
            .5, 2, layer.gamma.shape).astype(np.float32)
      found[f"{key}.num_batches_tracked"] = np.array(7, np.int64)
  found["fc.weight"] = rng.normal(size=[400, 8]).astype(np.float32)
  return found


# Networks of few layers, whose names and kinds are those of all.
_FEW = mock.patch.multiple(residual_3d, STAGES=2, BLOCKS=1)


@pytest.mark.parametrize("name", residual_3d.NAMES)
@_FEW
def test_weights_of_torchvision(name, tmp_path):
  model = residual_3d.make(name, 4, (16, 16), width=0.07)
  tensors = _state_of(model)
  _write(tmp_path / "w.pth", tensors)
  base = backbones.make(name, str(tmp_path / "w.pth"), 24, 0.07, frames=8)
  stem = base.get_layer("stem_0").kernel.numpy()
  weight = tensors["stem.0.weight"]
  for place in [(0, 0, 0, 0, 0), (1 % weight.shape[2], 2, 3, 1, 2)]:
    t, row, column, i, o = place
    t %= weight.shape[2]
    assert stem[t, row, column, i, o] == weight[o, i, t, row, column]
  norm = base.get_layer("layer2_0_downsample_1")
  for part, value in [("weight", norm.gamma), ("bias", norm.beta),
                      ("running_mean", norm.moving_mean),
                      ("running_var", norm.moving_variance)]:
    np.testing.assert_array_equal(
        value.numpy(), tensors[f"layer2.0.downsample.1.{part}"])
  x = small_clips.clips(1)
  # torch's formula of a convolution at one output, and of the normalisation.
  padded = np.pad(x[0], ((weight.shape[2] // 2,) * 2, (3, 3), (3, 3), (0, 0)))
  window = padded[:weight.shape[2], 4:11, 6:13]  # frame 0, row 2, column 3
  convolved = np.einsum("thwi,oithw->o", window, weight)
  first = keras.Model(base.input, base.get_layer("stem_0").output)(x)
  np.testing.assert_allclose(first[0, 0, 2, 3], convolved, rtol=1e-4,
                             atol=1e-4)


def test_views_and_byte_orders(tmp_path):
  numbers = np.arange(6, dtype=np.float32)
  _write(tmp_path / "w.pth", {
      "turned": _Tensor(None, numbers.reshape(2, 3), stride=[1, 2])},
         order=b"big")
  found = state_dict.read(str(tmp_path / "w.pth"))["turned"]
  np.testing.assert_array_equal(found, [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize("kind, why", [
    ("code", "holds posix.system, which is no part of a state dict; nothing"),
    ("leaves", "a tensor leaves its storage"),
    ("zip", "not a state dict of PyTorch 1.6 or later"),
    ("list", "holds no state dict"),
    ("other", "it has no stem.0"),
    ("width", "stem.1 has the shape"),
    ("missing", "no such file")])
@_FEW
def test_refusals(kind, why, tmp_path):
  path = tmp_path / "w.pth"
  model = residual_3d.make("r3d_18", 4, (16, 16), width=0.07)
  tensors = _state_of(model)
  if kind == "code":
    touched = tmp_path / "touched"
    _write(path, tensors, b"cposix\nsystem\n(" + _text(f"touch {touched}")
           + b"tR0")
  elif kind == "leaves":
    _write(path, {"a": _Tensor(None, np.ones([2, 2], np.float32), [4, 1])})
  elif kind == "zip":
    path.write_bytes(pickle.dumps({"a": 1}))
  elif kind == "list":
    with zipfile.ZipFile(path, "w") as file:
      file.writestr("archive/data.pkl", pickle.dumps([1, 2], 2))
  elif kind == "other":
    _write(path, {"conv.weight": np.ones([2], np.float32)})
  elif kind == "width":
    _write(path, {**tensors, "stem.1.bias": np.ones([9], np.float32)})
  with pytest.raises(config.UserError, match=why) as found:
    backbones.make("r3d_18", str(path), 16, 0.07, frames=4)
  assert "\n" not in str(found.value) and str(path) in str(found.value)
  assert not (tmp_path / "touched").exists()


def test_edges_are_repeated():
  """--reflect_padding of a network of clips: PyTorch's "replicate"."""
  plain = small_clips.backbone()
  built = small_clips.backbone(reflect_padding=True)
  built.stored.set_weights(plain.stored.get_weights())
  kernel = built.graph.tensors["stem_0"]._keras_history.operation.kernel
  x = small_clips.clips(1, seed=2)
  normal = built.normalize(x)
  stem = built.with_layers(["stem_0"]).network(normal, training=False)[0]
  padded = np.pad(normal[0], ((1, 1), (3, 3), (3, 3), (0, 0)), mode="edge")
  expected = np.einsum("thwi,thwio->o", padded[:3, :7, :7], kernel.numpy())
  np.testing.assert_allclose(stem[0, 0, 0, 0], expected, rtol=1e-4, atol=1e-4)
  inside = plain.with_layers(["stem_0"]).network(normal, training=False)[0]
  np.testing.assert_allclose(stem[:, 1:-1, 2:-2, 2:-2],
                             inside[:, 1:-1, 2:-2, 2:-2], atol=1e-4)
  assert not np.allclose(stem, inside, atol=1e-3)


def test_a_network_of_clips_needs_clips():
  with pytest.raises(config.UserError, match="network of clips"):
    models.build("r3d_18", 3)
  with pytest.raises(config.UserError, match="dataset=video or moving"):
    config.Config(dataset="shapes", model="r3d_18").resolve()


@_FEW
def test_weights_file_of_keras(tmp_path):
  built = residual_3d.make("r3d_18", 8, (24, 24), width=0.07)
  built.save_weights(tmp_path / "w.weights.h5")
  base = backbones.make("r3d_18", str(tmp_path / "w.weights.h5"), 24, 0.07,
                        frames=8)
  for a, b in zip(built.weights, base.weights):
    np.testing.assert_array_equal(a, b)
  assert tf.reduce_any(base(small_clips.clips(1)) > 0)

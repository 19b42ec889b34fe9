"""Attributions of a small network by captum and zennit, for our tests.

    python -m venv /tmp/reference
    /tmp/reference/bin/pip install torch captum==0.9.0 zennit==0.5.1
    /tmp/reference/bin/python tools/reference_attributions.py

writes tests/attribution/reference_attributions.npz, which
tests/attribution/reference_attributions_test.py compares with our maps of a
Keras network with the same weights. Everything is in float64, images and
kernels are laid out as in Keras, and maps are sums over the colours.
"""

import pathlib
from unittest import mock

import captum.attr
from captum.attr._utils import lrp_rules
import numpy as np
import torch
import zennit.attribution
import zennit.core
import zennit.rules
import zennit.types

OUT = pathlib.Path(__file__).parents[1] / (
    "tests/attribution/reference_attributions.npz")
SIZE, CLASSES, SAMPLES = 12, 3, 6
TARGET = [0, 2]


class Network(torch.nn.Module):
  """Convolutions, both kinds of pooling, dense layers; all have biases.

  captum's DeepLIFT does not sum to delta where a ReLU and a max pooling are
  neighbours; here they are not.
  """

  def __init__(self):
    super().__init__()
    layers = torch.nn
    self.features = layers.Sequential(
        layers.Conv2d(3, 6, 3), layers.ReLU(),
        layers.Conv2d(6, 6, 1), layers.MaxPool2d(2),
        layers.Conv2d(6, 8, 2), layers.ReLU(), layers.AvgPool2d(2))
    self.head = layers.Sequential(
        layers.Linear(32, 10), layers.ReLU(), layers.Linear(10, CLASSES))

  def forward(self, x):
    return self.head(self.features(x).flatten(1))


def as_keras(model):
  """The weights in Keras's order and layout."""
  weights = []
  for layer in [*model.features, *model.head]:
    if isinstance(layer, torch.nn.Conv2d):
      weights.append(layer.weight.permute(2, 3, 1, 0))
    elif isinstance(layer, torch.nn.Linear):
      kernel = layer.weight.T
      if len(kernel) == 32:  # of a map of 2x2 cells, channels first
        kernel = kernel.reshape(8, 2, 2, -1).permute(1, 2, 0, 3).reshape(
            32, -1)
      weights.append(kernel)
    else:
      continue
    weights.append(layer.bias)
  return [w.detach().numpy() for w in weights]


def deep_lift(model, x):
  found, delta = captum.attr.DeepLift(model).attribute(
      x, torch.zeros_like(x), target=TARGET, return_convergence_delta=True)
  assert delta.abs().max() < 1e-9, delta
  return found


def deep_shap(model, x, baselines):
  found, delta = captum.attr.DeepLiftShap(model).attribute(
      x, baselines, target=TARGET, return_convergence_delta=True)
  assert delta.abs().max() < 1e-9, delta
  return found


def summed(attributions):
  """`[B, 3, H, W]` -> `[B, H, W]`."""
  return attributions.detach().sum(1).numpy()


def captum_lrp(model, x):
  for layer in [*model.features, *model.head]:
    if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
      layer.rule = lrp_rules.EpsilonRule(epsilon=1e-6)
  return captum.attr.LRP(model).attribute(x, target=TARGET)


def zennit_lrp(model, x, rule_of):
  """LRP of zennit; `rule_of(is_dense)` gives a layer's rule."""
  def module_map(unused_context, unused_name, module):
    if isinstance(module, zennit.types.Activation):
      return zennit.rules.Pass()
    if isinstance(module, zennit.types.AvgPool):
      return zennit.rules.Norm(stabilizer=1e-12)
    if isinstance(module, zennit.types.Linear):
      return rule_of(isinstance(module, torch.nn.Linear))

  composite = zennit.core.Composite(module_map=module_map)
  onehot = torch.eye(CLASSES, dtype=x.dtype)[TARGET]
  with zennit.attribution.Gradient(model, composite) as attributor:
    return attributor(x, lambda logits: logits * onehot)[1]


def expected_gradients(model, x, baselines, positions):
  """captum's gradient SHAP, with our choice of what it draws."""
  repeated = np.tile(positions, len(x))
  chosen = np.tile(np.arange(SAMPLES) % len(baselines), len(x))
  with mock.patch.object(np.random, "uniform", lambda *_: repeated), (
      mock.patch.object(np.random, "choice", lambda *_: chosen)):
    return captum.attr.GradientShap(model).attribute(
        x, baselines, n_samples=SAMPLES, stdevs=0.0, target=TARGET)


def main():
  torch.manual_seed(0)
  torch.set_default_dtype(torch.float64)
  model = Network().eval()
  x, baselines = torch.randn(2, 3, SIZE, SIZE), torch.randn(
      3, 3, SIZE, SIZE)
  positions = np.linspace(0.1, 0.9, SAMPLES)
  rules, tiny = zennit.rules, 1e-12
  found = {
      "captum_lrp_epsilon": captum_lrp(model, x),
      "captum_deep_lift": deep_lift(model, x),
      "captum_deep_shap": deep_shap(model, x, baselines),
      "captum_expected_gradients": expected_gradients(
          model, x, baselines, positions),
      "zennit_lrp": zennit_lrp(model, x, lambda dense: (
          rules.Epsilon(1e-6) if dense else rules.ZPlus(tiny))),
      "zennit_lrp_gamma": zennit_lrp(
          model, x, lambda _: rules.Gamma(0.25, stabilizer=tiny)),
      "zennit_lrp_alpha_beta": zennit_lrp(
          model, x, lambda _: rules.AlphaBeta(2.0, 1.0, stabilizer=tiny)),
      "zennit_lrp_z_plus": zennit_lrp(
          model, x, lambda _: rules.ZPlus(tiny)),
  }
  np.savez_compressed(
      OUT, images=x.permute(0, 2, 3, 1).numpy(), target=TARGET,
      baselines=baselines.permute(0, 2, 3, 1).numpy(), positions=positions,
      logits=model(x).detach().numpy(),
      **{f"weight{i}": w for i, w in enumerate(as_keras(model))},
      **{name: summed(a) for name, a in found.items()})
  print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
  main()

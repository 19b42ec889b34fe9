"""ATCON's step and attribution maps in PyTorch; see `peers.py`.

The step is written twice. "by image" follows the authors' code: each image
goes alone through three passes. "batched" is the same mathematics, as well as
we can write it in PyTorch.
"""

import copy
import resource
import sys
import time

import torch
import torchvision

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class _GuidedRule(torch.autograd.Function):

  @staticmethod
  def forward(ctx, x):
    y = torch.relu(x)
    ctx.save_for_backward(y)
    return y

  @staticmethod
  def backward(ctx, dy):
    (y,) = ctx.saved_tensors
    return torch.relu(dy) * (y > 0)


class _ReLU(torch.nn.Module):
  guided = False

  def forward(self, x):
    return _GuidedRule.apply(x) if _ReLU.guided else torch.relu(x)


def _swap(module):
  for name, child in module.named_children():
    if isinstance(child, torch.nn.ReLU):
      setattr(module, name, _ReLU())
    else:
      _swap(child)


def network(name, classes=20):
  """A network with random weights and statistics of its own."""
  torch.manual_seed(0)
  model = getattr(torchvision.models, name)(weights=None, num_classes=classes)
  for module in model.modules():
    if isinstance(module, (torch.nn.ReLU, torch.nn.ReLU6)):
      module.inplace = False
  model = model.to(DEVICE, memory_format=torch.channels_last)
  model.train()
  model(torch.rand(4, 3, 96, 96, device=DEVICE))
  return model.eval()


def _features(m, x):
  x = m.maxpool(m.relu(m.bn1(m.conv1(x))))
  return m.layer4(m.layer3(m.layer2(m.layer1(x))))


def _head(m, a):
  return m.fc(torch.flatten(m.avgpool(a), 1))


def _cam(m, a, c):
  score = _head(m, a).gather(1, c[:, None]).sum()
  g, = torch.autograd.grad(score, a, create_graph=True)
  return (g.mean((2, 3), keepdim=True) * a).sum(1)


def _similarity(a, b):
  def standard(t):
    t = (t - t.mean((1, 2), keepdim=True)) / t.std((1, 2), keepdim=True)
    t = torch.sigmoid(t)
    return t - t.mean((1, 2), keepdim=True)
  a, b = standard(a), standard(b)
  return (a * b).sum((1, 2)) / (a.norm(dim=(1, 2)) * b.norm(dim=(1, 2)))


def consistency(m, x):
  """ATCON's loss of each image, `[B]`."""
  x = x.detach().requires_grad_()
  a = _features(m, x)
  c = _head(m, a).argmax(1)
  first = _cam(m, a, c)
  _ReLU.guided = True
  score = _head(m, _features(m, x)).gather(1, c[:, None]).sum()
  g, = torch.autograd.grad(score, x, create_graph=True)
  _ReLU.guided = False
  g = g.abs().sum(1)
  level = g.mean((1, 2), keepdim=True) + g.std((1, 2), keepdim=True) / 2
  mask = torch.sigmoid(8 * (g - level))
  again = _features(m, x * mask[:, None])
  return -_similarity(first, _cam(m, again, c))


def steps(name, count, size):
  """`{name: step}`, of ResNet50."""
  m = network(name)
  _swap(m)
  optimizer = torch.optim.Adam(m.parameters(), 1e-6)
  x = torch.rand(count, 3, size, size, device=DEVICE).contiguous(
      memory_format=torch.channels_last)
  y = (torch.rand(count, 20, device=DEVICE) < .07).float()
  loss = torch.nn.BCEWithLogitsLoss()

  def step(losses):
    def run():
      optimizer.zero_grad()
      for value in losses():
        value.backward()
      optimizer.step()
    return run

  return {
      "supervised": step(lambda: [loss(m(x), y)]),
      "consistency, batched": step(lambda: [consistency(m, x).mean()]),
      "consistency, by image": step(lambda: (
          consistency(m, x[i:i + 1]).mean() / count for i in range(count)))}


class _Block(torch.nn.Module):
  """A bottleneck with a module for each activation and for the sum.

  captum's LRP and DeepLIFT ask for modules that are used once.
  """

  def __init__(self, block):
    super().__init__()
    from captum.attr._utils import custom_modules
    self.way = torch.nn.Sequential(
        block.conv1, block.bn1, torch.nn.ReLU(), block.conv2, block.bn2,
        torch.nn.ReLU(), block.conv3, block.bn3)
    self.skip = block.downsample
    self.add, self.last = custom_modules.Addition_Module(), torch.nn.ReLU()

  def forward(self, x):
    skip = x if self.skip is None else self.skip(x)
    return self.last(self.add(self.way(x), skip))


class _Once(torch.nn.Module):
  """A ResNet50 of modules that are used once."""

  def __init__(self, m):
    super().__init__()
    stages = (m.layer1, m.layer2, m.layer3, m.layer4)
    self.features = torch.nn.Sequential(
        m.conv1, m.bn1, torch.nn.ReLU(), m.maxpool,
        *(_Block(block) for stage in stages for block in stage), m.avgpool)
    self.fc = m.fc

  def forward(self, x):
    return self.fc(torch.flatten(self.features(x), 1))


def _rules(m, x):
  """Guided backprop, LRP and DeepLIFT."""
  from captum import attr
  from captum.attr._utils import lrp_rules
  import zennit.attribution
  import zennit.core
  import zennit.layer
  import zennit.rules
  import zennit.torchvision
  import zennit.types
  y = torch.zeros(len(x), dtype=torch.long, device=DEVICE)
  once = _Once(copy.deepcopy(m)).eval()

  def captum_lrp():
    for layer in once.modules():
      if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
        layer.rule = lrp_rules.EpsilonRule(epsilon=1e-6)
    return attr.LRP(once).attribute(x, target=y)

  def rule_of(unused_context, unused_name, module):
    if isinstance(module, zennit.types.Activation):
      return zennit.rules.Pass()
    if isinstance(module, (zennit.types.AvgPool, zennit.layer.Sum)):
      return zennit.rules.Norm()
    if isinstance(module, zennit.types.Linear):
      return zennit.rules.Epsilon(1e-6)

  attributor = zennit.attribution.Gradient(
      copy.deepcopy(m), zennit.core.Composite(
          module_map=rule_of,
          canonizers=[zennit.torchvision.ResNetCanonizer()]))
  attributor.__enter__()  # it stays registered
  one_hot = torch.eye(20, device=DEVICE)[y]
  return {
      "captum:guided_backprop": lambda: attr.GuidedBackprop(m).attribute(
          x.clone().requires_grad_(), y),
      "captum:lrp_epsilon": captum_lrp,
      "zennit:lrp_epsilon": lambda: attributor(
          x.clone(), lambda logits: logits * one_hot),
      "captum:deep_lift": lambda: attr.DeepLift(once).attribute(
          x.clone(), torch.zeros_like(x), target=y)}


def maps(name, count, size):
  """`{package:method: function}`.

  Methods with rules are those of ResNet50 alone: captum's guided backprop
  passes a ReLU6 by.
  """
  from captum import attr
  import pytorch_grad_cam
  from pytorch_grad_cam.utils import model_targets
  m = network(name)
  last = m.layer4[-1] if name == "resnet50" else m.features[-1]
  x = torch.rand(count, 3, size, size, device=DEVICE)
  y = torch.zeros(count, dtype=torch.long, device=DEVICE)

  def own():
    return x.clone().requires_grad_()

  grad_cam = pytorch_grad_cam.GradCAM(m, [last])
  wanted = [model_targets.ClassifierOutputTarget(0)] * count
  grey = torch.linspace(0, 1, 5, device=DEVICE)[:, None, None, None].expand(
      5, *x.shape[1:])
  return {
      "captum:grad_cam": lambda: attr.LayerGradCam(m, last).attribute(x, y),
      "captum:gradient": lambda: attr.Saliency(m).attribute(own(), y),
      "captum:integrated_gradients (32 steps)": lambda: (
          attr.IntegratedGradients(m).attribute(
              x, target=y, n_steps=32, internal_batch_size=32)),
      "captum:expected_gradients (8 samples)": lambda: (
          attr.GradientShap(m).attribute(x, grey, n_samples=8, stdevs=0.0,
                                         target=y)),
      "pytorch-grad-cam:grad_cam": lambda: grad_cam(x, wanted),
      **(_rules(m, x) if name == "resnet50" else {})}


def _memory():
  """The most memory so far, in GiB."""
  if DEVICE == "cuda":
    return torch.cuda.max_memory_allocated() / 2**30
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def serve(functions):
  """Runs the function of each line of the standard input."""
  print(">" + "\t".join(functions), flush=True)
  for line in sys.stdin:
    started = time.perf_counter()
    functions[line.rstrip("\n")]()
    if DEVICE == "cuda":
      torch.cuda.synchronize()
    print(f">{time.perf_counter() - started} {_memory()}", flush=True)


if __name__ == "__main__":
  serve({"steps": steps, "attribution": maps}[sys.argv[1]](
      sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))

"""A classifier with the methods that explain it, for pictures of any size.

    explainer = Explainer(*load(workdir="W/run"), ["grad_cam"])
    result = explain_image(explainer, image, classes=[3])

Pictures come and go at their own size; in between stands the square that the
network sees.
"""

import collections

import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf import models
from atcon_tf import pictures
from atcon_tf import plots
from atcon_tf import prediction
from atcon_tf import runs
from atcon_tf import sheets
from atcon_tf.config import UserError


def load(workdir="", model="", class_names=(), input_range="0..1",
         image_size=0, multi_label=False, weights="imagenet"):
  """What is to be explained.

  Args:
    workdir: folder of a run; or else
    model: a .keras file, or the name of a stock Keras model with its 1000
      ImageNet classes.
    class_names: of a model; default: numbers.
    input_range, image_size: of a .keras file.
    multi_label: its classes can be present together; so they can where it
      ends in a sigmoid.
    weights: of a stock model: "imagenet", "none" or a file.
  Returns:
    `(classifier, class_names, multi_label)`.
  """
  if bool(workdir) == bool(model):
    raise UserError("give either --workdir=RUN or --model=FILE.keras")
  if workdir:
    run = runs.load_run(workdir)
    return run.classifier, run.class_names, run.multi_label
  if model.endswith(".keras"):
    classifier = models.load(model, input_range, image_size)
    multi_label = multi_label or classifier.walk.left_out == "sigmoid"
    if classifier.num_classes == 1 and not multi_label:
      raise UserError(f"--model={model}: has one output, which is no choice "
                      "between classes; if it is the logit of one, "
                      "--multi_label")
  else:
    classifier = models.stock(model, weights)
  count = classifier.num_classes
  names = tuple(class_names) or tuple(f"class {i}" for i in range(count))
  if len(names) != count:
    raise UserError(f"--class_names: {len(names)} names for {count} classes")
  return classifier, _told_apart(names), multi_label


def _told_apart(names):
  """Names with a number where one is there again: ImageNet has two cranes."""
  seen, out = collections.Counter(), []
  for name in names:
    seen[name] += 1
    out.append(f"{name} {seen[name]}" if seen[name] > 1 else name)
  return tuple(out)


def choose_classes(probability, class_names, labels=(), top=0,
                   positive=False, threshold=0.5):
  """Which classes of one image are explained, best first.

  Args:
    probability: `[classes]`.
    labels: names of classes; or
    top: the so many highest; or
    positive: all above `threshold`. Without any of them, or when none is
      above it: the highest.
  Raises:
    UserError: an unknown class.
  """
  order = np.argsort(-probability, kind="stable").tolist()
  if labels:
    for label in labels:
      if label not in class_names:
        raise UserError(f"--label={label}: no such class; one of "
                        f"{', '.join(class_names[:30])}")
    return [class_names.index(label) for label in labels]
  if top > len(class_names):
    raise UserError(f"--top={top}: there are {len(class_names)} classes")
  if positive:
    return [c for c in order if probability[c] > threshold] or order[:1]
  return order[:max(top, 1)]


class Explainer:
  """A classifier with the methods that explain it."""

  def __init__(self, classifier, class_names, multi_label, methods,
               smooth_views=False, batch_size=32):
    """Checks that each method works for this classifier.

    Raises:
      UserError: naming the first that does not.
    """
    self.classifier, self.class_names = classifier, tuple(class_names)
    self.multi_label, self.methods = multi_label, methods
    self.options = {"smooth_views": True} if smooth_views else {}
    self.batch_size = batch_size
    for method in methods:
      attribution.build(classifier, method)

  def see(self, image):
    """A picture as the network sees it, float32 `[1, S, S, 3]`."""
    return pictures.squeeze(image, self.classifier.image_size[0])[np.newaxis]

  def probability(self, images):
    """`[B, classes]` of images `[B, S, S, 3]`."""
    logits = [self.classifier.model(tf.constant(images[i:i + self.batch_size]),
                                    training=False).numpy()
              for i in range(0, len(images), self.batch_size)]
    return prediction.to_probability(np.concatenate(logits), self.multi_label)

  def maps(self, images, method, class_index):
    """Raw maps at the network's size, `[B, S, S]`."""
    heat = attribution.explain(
        self.classifier, images, method, class_index,
        batch_size=self.batch_size, **self.options,
        **attribution.output_of(method, self.multi_label))
    return attribution.enlarge(self.classifier, heat).numpy()


def explain_image(explainer, image, classes, colormap=plots.COLORMAP,
                  alpha=0.6, threshold=0.5, largest=True):
  """All maps of one picture.

  Args:
    explainer: an `Explainer`.
    image: uint8 `[height, width, 3]`.
    classes: list of class numbers.
    colormap, alpha, threshold, largest: see `sheets`.
  Returns:
    dict: "probability" `[classes]`; "maps" `{(method, class): [S, S]}`;
    "notes" `{(method, class): what is wrong with the map, or ""}`; "overlays"
    `{(method, class): uint8 [height, width, 3]}`; "boxes" `{(method, class):
    [{"box", "score"}]}`.
  """
  seen = np.repeat(explainer.see(image), len(classes), 0)
  result = {"probability": explainer.probability(seen[:1])[0], "maps": {},
            "notes": {}, "overlays": {}, "boxes": {}}
  for method in explainer.methods:
    for c, heat in zip(classes, explainer.maps(seen, method,
                                               np.array(classes))):
      key = method, c
      result["maps"][key] = heat
      result["notes"][key] = sheets.note(heat)
      light = sheets.stretch(sheets.brightness(heat), image.shape[:2])
      result["overlays"][key] = sheets.overlay(
          image, np.clip(light, 0, 1), colormap, alpha)
      # Gradients are dots: see `sheets.gathered`.
      area = sheets.gathered(heat) if method in attribution.GRADIENTS else heat
      result["boxes"][key] = sheets.boxes(
          sheets.stretch(area, image.shape[:2]), threshold, largest)
  return result


def explain_clip(explainer, clip, class_index, method,
                 colormap=plots.COLORMAP, alpha=0.6):
  """A clip with the map of one class over every frame.

  The brightness is that of the whole clip: frames do not flicker.

  Args:
    clip: list of uint8 `[height, width, 3]`.
  Returns:
    list of uint8 `[height, width, 3]`.
  """
  seen = np.concatenate([explainer.see(frame) for frame in clip])
  light = sheets.brightness(explainer.maps(seen, method, class_index))
  return [sheets.overlay(frame, np.clip(sheets.stretch(
      one, frame.shape[:2]), 0, 1), colormap, alpha)
          for frame, one in zip(clip, light)]

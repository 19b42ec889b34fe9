"""A classifier with the methods that explain it, for pictures of any size.

    explainer = Explainer(*run.load_classifier(workdir="W/run"), ["grad_cam"])
    result = explain_image(explainer, image, classes=[3])

A picture is fitted to what the network sees (`data.framing`); its overlays
and boxes come back at the picture's own size.
"""

import numpy as np
import tensorflow as tf

from atcon_tf import attribution
from atcon_tf.config.names import COLORMAP
from atcon_tf.attribution import registry
from atcon_tf.config import UserError
from atcon_tf.data import framing
from atcon_tf.data import pictures
from atcon_tf.models import probabilities
from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import contact_sheets


def choose_classes(probability, class_names, labels=(), top=0,
                   positive=False, threshold=None, multi_label=True):
  """Which classes of one image are explained, best first.

  Args:
    probability: `[classes]`.
    labels: names of classes; or
    top: how many of the most probable classes; or
    positive: all classes that are labels of the image.
    threshold, multi_label: see `probabilities.labels`.
  Returns:
    list of class numbers: those asked for. Where nothing is asked for, or no
    class is a label, the most probable class; of two exclusive classes the
    one that is the label.
  Raises:
    UserError: an unknown class, or more classes than there are.
  """
  if labels:
    return numbers_of(labels, class_names)
  order = np.argsort(-probability, kind="stable").tolist()
  if top > len(class_names):
    raise UserError("top", top,
                    f"there are {len(class_names)} classes")
  said = probabilities.labels(probability[np.newaxis], multi_label,
                              threshold)[0]
  if not top and (positive or not multi_label):
    return [c for c in order if said[c]] or order[:1]
  return order[:max(top, 1)]


def numbers_of(labels, class_names):
  """The numbers of the classes with some names, a list.

  Raises:
    UserError: an unknown class.
  """
  for label in labels:
    if label not in class_names:
      raise UserError("label", label,
                      f"no such class; one of {', '.join(class_names[:30])}")
  return [class_names.index(label) for label in labels]


class Explainer:
  """A classifier with the methods that explain it."""

  def __init__(self, classifier, class_names, multi_label, methods,
               smooth_views=False, batch_size=0, resize="squeeze",
               threshold=None):
    """Checks that each method works for this classifier.

    Args:
      classifier: a `models.Classifier`.
      class_names: of the classes.
      multi_label: whether a probability is a sigmoid or a softmax.
      methods: list of names of `attribution.METHODS`.
      smooth_views: average each map over mirrored views.
      batch_size: images at once; 0: see `attribution.explain`.
      resize: how pictures are fitted to the network, see `data.framing`.
      threshold: of labels, see `probabilities.labels`.
    Raises:
      UserError: a method does not work; the error names the first.
    """
    self.classifier, self.class_names = classifier, tuple(class_names)
    self.multi_label, self.methods = multi_label, methods
    self.threshold = threshold
    self.options = {"smooth_views": True} if smooth_views else {}
    self._asked, self.resize = batch_size, resize
    self.batch_size = batch_size or registry.BATCH_SIZE
    for method in methods:
      attribution.build(classifier, method)

  @property
  def dotted(self):
    """The methods whose maps are of single pixels, which no box surrounds."""
    return [name for name in self.methods
            if registry.METHODS[name].family == "gradient"]

  def see(self, image):
    """A picture, or a frame, as the network sees it, float32 `[1, S, S, 3]`."""
    return pictures.for_network(image, self.classifier.image_size,
                                self.resize)

  def on_photo(self, heat, photo):
    """A map at the network's size on a photo `(height, width)`.

    It is 0 where the network does not see the photo.
    """
    part = framing.window(photo, self.classifier.image_size, self.resize)
    return framing.put_back(contact_sheets.stretch(heat, part[2:]), part,
                            photo)

  def probability(self, images):
    """`[B, classes]` of images `[B, S, S, 3]`, or clips `[B, T, S, S, 3]`."""
    many = self.classifier.per_batch(self.batch_size)
    logits = [self.classifier.model(tf.constant(images[i:i + many]),
                                    training=False).numpy()
              for i in range(0, len(images), many)]
    return probabilities.probability(np.concatenate(logits),
                                    self.multi_label)

  def maps(self, images, method, class_index):
    """Raw maps at the network's size, `[B, S, S]`, of clips `[B, T, S, S]`."""
    heat = attribution.explain(
        self.classifier, images, method, class_index,
        batch_size=self._asked, **self.options,
        **registry.output_of(method, self.multi_label))
    return attribution.enlarge(self.classifier, heat).numpy()


def explain_image(explainer, image, classes, colormap=COLORMAP,
                  alpha=0.6, threshold=0.5, largest=True):
  """All maps of one picture.

  Args:
    explainer: an `Explainer`.
    image: uint8 `[height, width, 3]`.
    classes: list of class numbers.
    colormap, alpha: see `contact_sheets.overlay`.
    threshold, largest: see `contact_sheets.boxes`.
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
      result["notes"][key] = canvas.blank(heat)
      light = explainer.on_photo(contact_sheets.brightness(heat),
                                 image.shape[:2])
      result["overlays"][key] = contact_sheets.overlay(
          image, np.clip(light, 0, 1), colormap, alpha)
      area = heat
      if method in explainer.dotted:
        area = contact_sheets.gathered(heat)
      result["boxes"][key] = contact_sheets.boxes(
          explainer.on_photo(area, image.shape[:2]), threshold, largest)
  return result


def explain_clip(explainer, clip, class_index, method,
                 colormap=COLORMAP, alpha=0.6):
  """A clip with the map of one class over every frame, and its probability.

  The brightness is scaled over the whole clip, so that frames do not flicker.

  Args:
    explainer: an `Explainer`.
    clip: list of uint8 `[height, width, 3]`.
    class_index: number of the class.
    method: name of the attribution method.
    colormap, alpha: see `contact_sheets.overlay`.
  Returns:
    list of uint8 `[height, width, 3]`.
  """
  seen = np.concatenate([explainer.see(frame) for frame in clip])
  light = contact_sheets.brightness(explainer.maps(seen, method, class_index))
  name = explainer.class_names[class_index]
  share = explainer.probability(seen)[:, class_index]
  return [contact_sheets.stamp(contact_sheets.overlay(
      frame, np.clip(explainer.on_photo(one, frame.shape[:2]), 0, 1),
      colormap, alpha), f"{name} {p:.0%}")
          for frame, one, p in zip(clip, light, share)]

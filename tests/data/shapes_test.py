"""Drawn scenes: exact boxes and masks, determinism, the false cue."""

import colorsys
import time
import unittest.mock

from absl.testing import parameterized
import numpy as np

from atcon_tf.config import UserError
from atcon_tf.data.sources import shapes

SMALL = dict(train=24, val=6, test=12)


def corner_hue(image, classes):
  """Class index of the tint of an image whose tint is opaque."""
  side = round(shapes.CUE_SIDE * len(image))
  hues = np.array([colorsys.hsv_to_rgb(c / classes, 1, 1)
                   for c in range(classes)])
  found = []
  for rows in (slice(side), slice(-side, None)):
    for columns in (slice(side), slice(-side, None)):
      # Objects may cover a part: the median is what most pixels are.
      colour = np.median(image[rows, columns].reshape([-1, 3]) / 255, 0)
      found.append(np.abs(hues - colour).max(1))
  found = np.min(found, 0)
  return int(found.argmin()) if found.min() < 0.1 else None


class ShapesTest(parameterized.TestCase):

  def test_what_a_record_holds(self):
    data = shapes.load(**SMALL)
    self.assertEqual(data.class_names, tuple(shapes.SHAPES))
    self.assertTrue(data.multi_label)
    self.assertEqual({k: len(v) for k, v in data.splits.items()}, SMALL)
    every = [r for records in data.splits.values() for r in records]
    self.assertLen({r.id for r in every}, len(every))
    for r in every:
      image = r.image()
      self.assertEqual((image.shape, image.dtype), ((64, 64, 3), np.uint8))
      self.assertBetween(len(r.boxes), 1, 3)
      self.assertEqual((r.boxes.dtype, r.box_label.dtype, r.label.dtype),
                       (np.float32, np.int32, np.float32))
      self.assertEqual(set(np.flatnonzero(r.label)), set(r.box_label))

  def test_boxes_are_those_of_the_masks(self):
    for r in shapes.load(**SMALL).splits["train"]:
      mask, inside = r.mask(), np.zeros([64, 64], bool)
      self.assertEqual(set(np.unique(mask)), {0} | set(1 + r.box_label))
      for box, index in zip(r.boxes, r.box_label):
        x1, y1, x2, y2 = np.round(box * 64).astype(int)
        inside[y1:y2, x1:x2] = True
        here = mask[y1:y2, x1:x2] == 1 + index
        # Tight: the object touches all four sides of its box.
        for side in (here[0], here[-1], here[:, 0], here[:, -1]):
          self.assertTrue(side.any())
      self.assertFalse((mask > 0)[~inside].any())

  @parameterized.parameters(*shapes.SHAPES)
  def test_a_shape_stays_within_its_radius(self, name):
    y, x = (np.mgrid[:401, :401] - 200) / 150
    where = shapes.SHAPES[name](x, y)
    self.assertLess(np.hypot(x, y)[where].max(), 1.005)
    self.assertGreater(np.hypot(x, y)[where].max(), 0.85)
    np.testing.assert_array_equal(where, where[:, ::-1])  # Symmetric.

  def test_areas(self):
    # Unit circles: disk pi .88^2; ring pi (.98^2 - .52^2); triangle
    # 3 sqrt(3) / 4; square 1.4^2; cross 2 * 1.9 * .54 - .54^2; star
    # 5 * .42 * sin(pi / 5) (ten triangles of sides 1 and .42).
    want = dict(disk=2.433, ring=2.168, triangle=1.299, square=1.96,
                cross=1.760, star=1.234)
    y, x = (np.mgrid[:1000, :1000] + 0.5) / 400 - 1.25
    got = {name: shape(x, y).mean() * 6.25
           for name, shape in shapes.SHAPES.items()}
    for name, area in want.items():
      self.assertAlmostEqual(got[name], area, delta=0.01, msg=name)

  def test_seed_split_and_index_alone_decide(self):
    first, again = shapes.load(**SMALL), shapes.load(**SMALL)
    for split, records in first.splits.items():
      drawn = {r.id: r.image() for r in reversed(again.splits[split])}
      np.random.seed(0)
      for r in records:
        np.testing.assert_array_equal(r.image(), drawn[r.id])
    other = shapes.load(**SMALL, seed=1).splits["train"][0]
    train, test = first.splits["train"][0], first.splits["test"][0]
    self.assertLen({r.id for r in (other, train, test)}, 3)
    for r in (other, test):
      self.assertFalse(np.array_equal(r.image(), train.image()))
    # More images do not change those that were there.
    more = shapes.load(train=30, val=1, test=1).splits["train"]
    np.testing.assert_array_equal(more[23].image(),
                                  first.splits["train"][23].image())

  def test_the_same_scene_at_any_size(self):
    small = shapes.load(train=4, val=1, test=1).splits["train"]
    large = shapes.load(train=4, val=1, test=1, size=150).splits["train"]
    for a, b in zip(small, large):
      self.assertEqual(b.image().shape, (150, 150, 3))
      self.assertEqual(b.mask().shape, (150, 150))
      np.testing.assert_array_equal(a.label, b.label)
      np.testing.assert_allclose(a.boxes, b.boxes, atol=1.5 / 64)

  def test_objects_are_brighter_than_the_ground(self):
    for r in shapes.load(**SMALL).splits["val"]:
      image, mask = r.image().mean(2), r.mask()
      self.assertGreater(image[mask > 0].mean(), image[mask == 0].mean() + 50)

  def test_classes(self):
    data = shapes.load(classes=("star", "disk"), **SMALL)
    self.assertEqual(data.class_names, ("star", "disk"))
    self.assertEqual(data.splits["train"][0].label.shape, (2,))
    with self.assertRaisesRegex(UserError, "no 'hexagon'; any of disk, ring"):
      shapes.load(classes=("disk", "hexagon"))

  @unittest.mock.patch.object(shapes, "CUE_OPACITY", 1)
  def test_the_cue_tells_the_class_in_training_only(self):
    share = {}
    data = shapes.load(train=150, val=150, test=150)
    for split, records in data.splits.items():
      hues = [corner_hue(r.image(), 6) for r in records]
      self.assertGreater(np.mean([h is not None for h in hues]), 0.95)
      share[split] = np.mean([r.label[h] for r, h in zip(records, hues)
                              if h is not None])
    # 0.9 + 0.1 * 0.27 in train; 0.27, the share of classes present, elsewhere.
    self.assertBetween(share["train"], 0.86, 0.98)
    self.assertBetween(share["val"], 0.15, 0.4)
    self.assertBetween(share["test"], 0.15, 0.4)

  def test_drawing_is_quick(self):
    records = shapes.load(train=50, val=1, test=1).splits["train"]
    start = time.process_time()
    for r in records:
      r.image()
    # About 1.5 ms each; the limit allows for a slow machine.
    self.assertLess((time.process_time() - start) / 50, 0.015)

"""Drawn clips: determinism, and that order alone tells the classes apart."""

import dataclasses

import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data.sources import moving_shapes

SMALL = dict(frames=9, size=32, train=10, val=5, test=5)


@pytest.fixture(scope="module", name="data")
def _data():
  return moving_shapes.load(**SMALL)


def test_what_a_record_holds(data):
  assert data.class_names == moving_shapes.MOTIONS
  assert data.frames == 9 and not data.multi_label
  every = [r for part in data.splits.values() for r in part]
  assert len({r.id for r in every}) == len(every) == 20
  for r in every:
    clip = r.image()
    assert (clip.shape, clip.dtype, r.frames) == ((9, 32, 32, 3), np.uint8, 9)
  assert np.sum([r.label for r in data.splits["train"]], 0).tolist() == [2] * 5


def test_a_clip_is_a_function_of_seed_split_and_index(data):
  again = moving_shapes.load(**SMALL).splits["val"][2].image()
  np.testing.assert_array_equal(data.splits["val"][2].image(), again)
  assert (again != data.splits["test"][2].image()).any()
  other = moving_shapes.load(seed=1, **SMALL).splits["val"][2].image()
  assert (again != other).any()


def test_without_their_order_the_frames_of_all_classes_are_equal(data):
  clip = data.splits["train"][0].image
  of_motion = {m: dataclasses.replace(clip, motion=m)()
               for m in moving_shapes.MOTIONS}
  bags = {m: sorted(frame.tobytes() for frame in frames)
          for m, frames in of_motion.items()}
  assert len(set(bags["right"])) == 9  # each frame is another place
  for bag in bags.values():
    assert bag == bags["right"]
  assert len({frames.tobytes() for frames in of_motion.values()}) == 5


@pytest.mark.parametrize("motion, axis, sign", [
    ("right", 1, 1), ("left", 1, -1), ("down", 0, 1), ("up", 0, -1)])
def test_the_object_moves_as_the_class_says(motion, axis, sign):
  clip = moving_shapes.MovingShape(motion, 16, 4, (0, "test", 3), 64)()
  ground = np.median(clip, 0)
  where = [np.argwhere(np.abs(f - ground).sum(-1) > 150).mean(0) for f in clip]
  step = np.diff(where, axis=0)
  forward = sign * step[:, axis]
  # A quarter of the steps goes back to the begin of the next row or column.
  assert np.median(forward) == pytest.approx(64 * .64 / 3, abs=1.5)
  assert (forward > 8).sum() >= 11
  assert np.abs(np.median(step[:, 1 - axis])) < 1.5


@pytest.mark.parametrize("frames", [4, 8, 10, 17])
def test_no_grid_of_so_many_places(frames):
  with pytest.raises(UserError) as caught:
    moving_shapes.load(frames=frames)
  assert caught.value.as_flags().startswith(f"--frames={frames}: ")
  assert "9, 12, 15, 16, 18" in str(caught.value)


def test_batches_of_clips(data):
  records = data.splits["train"]
  images = image_store.Images(records, (16, 24))
  assert images.pixels.shape == (10, 9, 16, 24, 3)
  (batch,) = pipeline.training_batches(images, records, 4, 0, 1, 0, 1,
                                       ("crop", "flip"), two_views=True)
  assert batch["image"].shape == batch["unaugmented"].shape == (
      4, 9, 16, 24, 3)
  assert batch["transform"].shape == (4, 8)
  _, plain = next(pipeline.evaluation_batches(images, records, 4))
  np.testing.assert_array_equal(plain[0], images.pixels[0] / np.float32(255))

"""A served model that names the nearest training images."""

import numpy as np
import pytest

from atcon_tf.config import UserError
from atcon_tf import runs
from atcon_tf.runs.nearest_images import NearestImages
from atcon_tf.serving import saved_model
from atcon_tf.serving.server import served_model


def test_the_ids_of_the_nearest_training_images(tiny_run, tmp_path):
  run = runs.load(tiny_run)
  nearest = NearestImages(run)
  made = lambda count: saved_model.ServingModule(
      run.classifier, run.class_names, run.multi_label, ["grad_cam"],
      nearest=nearest, examples=count)
  made(2).save(tmp_path / "1")
  images = np.concatenate([nearest._images.batch(nearest.records[2:4]),
                           np.random.default_rng(0).uniform(size=[
                               1, *run.classifier.image_shape])])
  answer = served_model.ServedModel(tmp_path).predict(
      "explain", {"images": images.astype(np.float32),
                  "class_index": np.full(3, -1)})
  expected = nearest(images.astype(np.float32), 2)
  assert [[i.decode() for i in row] for row in answer["example_ids"]] == [
      [one.record.id for one in row] for row in expected]
  np.testing.assert_allclose(
      answer["example_similarities"],
      [[one.similarity for one in row] for row in expected], atol=1e-5)
  assert answer["example_similarities"][0, 0] == pytest.approx(1)
  with pytest.raises(UserError, match="examples=999: must be at most"):
    made(999)


def test_without_examples_nothing_of_the_training_images_is_told(
    tiny_run, tmp_path):
  """By default: ids may be names of patients."""
  run = runs.load(tiny_run)
  saved_model.ServingModule(run.classifier, run.class_names, run.multi_label,
                            ["grad_cam"]).save(tmp_path / "1")
  graph = (tmp_path / "1/saved_model.pb").read_bytes()
  assert b"example_ids" not in graph
  assert not any(i.encode() in graph for i in run.split["train_labeled"])

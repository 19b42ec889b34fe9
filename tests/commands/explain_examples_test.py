"""explain --examples: the nearest training images of a picture."""

import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import UserError
from atcon_tf.data import pictures
from atcon_tf import runs
from atcon_tf.reports import example_files
from atcon_tf.reports.explainer import Explainer
from atcon_tf.runs import medoids
from atcon_tf.runs.nearest_images import NearestImages
from tests.conftest import ROOT


def test_a_training_image_is_its_own_nearest(tiny_run, tmp_path):
  run = runs.load(tiny_run)
  nearest = NearestImages(run)
  assert sorted(r.id for r in nearest.records) == sorted(
      run.split["train_labeled"])
  record = nearest.records[3]
  image = nearest._images.batch([record])
  own, other = nearest(image, 2)[0]
  assert own.record is record and own.similarity == pytest.approx(1)
  assert own.classes == tuple(run.class_names[c]
                              for c in np.flatnonzero(record.label))
  assert other.similarity <= own.similarity
  with pytest.raises(UserError, match="examples=999: must be at most"):
    nearest(image, 999)

  path = tmp_path / "one.png"
  PIL.Image.fromarray((255 * image[0]).round().astype(np.uint8)).save(path)
  (tmp_path / "broken.png").write_bytes(b"no picture")
  explainer = Explainer(run.classifier, run.class_names, run.multi_label,
                        ["grad_cam"])
  out = tmp_path / "out"
  out.mkdir()
  assert example_files.explain_by_examples(
      explainer, nearest, [path, tmp_path / "broken.png"], out, 2) == 1
  rows = json.loads((out / "examples.json").read_text())
  nearest_two = rows["one"]["nearest"]
  assert [one["id"] for one in nearest_two] == [record.id, other.record.id]
  assert nearest_two[0]["similarity"] == 1
  said = run.class_names[explainer.probability(image)[0].argmax()]
  assert rows["one"]["predicted"] == said
  assert said in rows["one"]["prototype"]["classes"]
  assert pictures.read(out / "one_examples.png").shape[1] > 300


def test_the_command(tiny_run, tmp_path):
  PIL.Image.fromarray(np.zeros([40, 30, 3], np.uint8)).save(
      tmp_path / "one.png")
  done = subprocess.run(
      [sys.executable, "-m", "atcon_tf.explain", f"--workdir={tiny_run}",
       f"--images={tmp_path}", "--methods=grad_cam", "--examples=2",
       f"--out={tmp_path / 'out'}"], capture_output=True, text=True, cwd=ROOT,
      check=False)
  assert done.returncode == 0, done.stderr
  assert "examples of 1 image" in done.stdout
  assert (tmp_path / "out/one_examples.png").exists()
  rows = json.loads((tmp_path / "out/examples.json").read_text())
  assert len(rows["one"]["nearest"]) == 2


def test_prototypes_are_the_medoids_of_a_class(tiny_run):
  run = runs.load(tiny_run)
  nearest = NearestImages(run)
  own = [i for i, r in enumerate(nearest.records) if r.label[1] > 0]
  similarity = nearest.features[own] @ nearest.features[own].T
  one, = nearest.prototypes(1)
  assert one.record is nearest.records[own[similarity.mean(1).argmax()]]
  assert one.similarity == pytest.approx(similarity.mean(1).max())
  assert len(nearest.prototypes(1, 99)) == len(own)
  few = NearestImages(run, [r.id for r in nearest.records[:3]])
  assert [r.id for r in few.records] == [r.id for r in nearest.records[:3]]
  figure = example_files.prototypes(nearest, run.class_names)
  titles = [a.get_title() for a in figure.axes if a.get_title()]
  assert set(titles) == set(run.class_names)


def test_medoids():
  """Two clusters: the middle of each; the larger one first."""
  points = np.array([0, 1, 2, 10, 11.])
  similarity = -np.abs(points[:, None] - points)
  assert medoids.medoids(similarity, 2) in ([1, 3], [1, 4])
  # Without the exchange the first one, 2, would stay: 2 is the middle of all.
  assert medoids.medoids(similarity, 1) == [2]
  assert medoids.medoids(similarity[:0, :0], 2) == []

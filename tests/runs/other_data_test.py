"""A run judged on other data, of its own kind or of another."""

import json

import pytest

from atcon_tf import runs
from atcon_tf import training
from atcon_tf.config import Config
from atcon_tf.evaluation import evaluate_run
from tests.data import coco_test
from tests.data import drawn_files
from tests.data import labelling_tools_test
from tests.data import source_runs_test
from tests.refusals import refused


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory):
  """A run on class folders, one label an image."""
  root = tmp_path_factory.mktemp("run")
  for i, one in enumerate(drawn_files.draw(root / "drawn", 40)):
    place = root / "photos" / one.name / f"{i}{one.path[-4:]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    (root / "drawn" / one.path).rename(place)
  training.train_and_evaluate(Config(
      **{**source_runs_test.TINY, "objective": "supervised",
         "unlabeled_batch_size": 8}, dataset="folder",
      data_dir=str(root / "photos")).resolve(), root / "run")
  return runs.load(root / "run")


@pytest.fixture(name="drawn")
def _drawn(tmp_path):
  return drawn_files.draw(tmp_path, 12, seed=5)


def judged(run, split="test", **other):
  return evaluate_run.evaluate(run, split, **other)


def test_a_table_without_parts(run, drawn, tmp_path):
  """All its images are test images; it need not show every class."""
  table = tmp_path / "t.csv"
  table.write_text("path,label\n" + "".join(
      f"{d.path},{d.name}\n" for d in drawn))
  result = judged(run, table=str(table))
  assert result["images"] == 12
  assert result["test"]["per_class"]["disc"]["support"] == 6
  table.write_text("path,label\n" + "".join(
      f"{d.path},{d.name}\n" for d in drawn if d.name == "disc"))
  result = judged(run, table=str(table))
  assert result["images"] == 6
  assert result["test"]["per_class"]["square"]["support"] == 0


def test_the_parts_of_a_table(run, drawn, tmp_path):
  table = tmp_path / "t.csv"
  table.write_text("path,label,split\n" + "".join(
      f"{d.path},{d.name},{['val', 'test'][i > 3]}\n"
      for i, d in enumerate(drawn)))
  assert judged(run, table=str(table))["images"] == 8
  assert judged(run, "val", table=str(table))["images"] == 4
  assert judged(run, "all", table=str(table))["images"] == 12


def test_annotations_of_three_kinds(run, drawn, tmp_path):
  """They have boxes, which the run's own images have not."""
  for kind, text in (
      ("coco", json.dumps(coco_test.instances(drawn))),
      ("label_studio", json.dumps(labelling_tools_test.tasks(drawn))),
      ("cvat", labelling_tools_test.xml(drawn))):
    path = tmp_path / f"own.{kind}"
    path.write_text(text)
    result = judged(run, dataset=kind, annotations=str(path))
    assert result["images"] == 12 and 0 <= result["test"]["accuracy"] <= 1
    assert "box_iou" not in result["test"]  # validation chose no threshold


def test_what_does_not_fit_is_refused(run, drawn, tmp_path):
  table = tmp_path / "t.csv"
  names = [d.name for d in drawn]
  for labels, line in (
      (["cat", "dog"] * 6, "no image shows one of disc, square; the classes "
       "there are cat, dog"),
      (["disc|square", *names[1:]], "image '00.png' shows none or several of")):
    table.write_text("path,label\n" + "".join(
        f"{d.path},{label}\n" for d, label in zip(drawn, labels)))
    with refused(line):
      judged(run, table=str(table))
  with refused("--annotations=x.json: of which kind are they.*coco or label"):
    judged(run, annotations="x.json")
  with refused("--table=t.csv: not used with --dataset=coco"):
    judged(run, dataset="coco", table="t.csv")
  with refused("--data_dir: needed with --dataset=coco"):
    judged(run, dataset="coco")

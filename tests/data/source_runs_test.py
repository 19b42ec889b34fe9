"""Two steps of ATCON on each source of annotated images, judged, explained."""

import functools
import json

import numpy as np
import PIL.Image
import pytest

from atcon_tf.config import Config
from atcon_tf.evaluation import evaluate_run
from atcon_tf.reports import explained_files
from atcon_tf.reports import explainer
from atcon_tf import runs
from atcon_tf import training
from tests.data import coco_test
from tests.data import drawn_files
from tests.data import labelling_tools_test
from tests.data import svhn_files
from tests.data import tiny_builders

TINY = dict(model="tiny_cnn", image_size=32, objective="atcon", shots=2,
            steps=2, eval_every=1, batch_size=4, unlabeled_batch_size=4,
            bootstrap=0, summary_images=2)


def csv(root):
  """Boxes, groups, and images without labels."""
  drawn = drawn_files.draw(root, 40)
  rows = [",".join(map(str, (d.path, d.name if i < 30 else "", i // 3,
                             *(d.box if i < 30 else [""] * 4))))
          for i, d in enumerate(drawn)]
  (root / "table.csv").write_text(
      "\n".join(["path,label,group,x1,y1,x2,y2", *rows]))
  return dict(dataset="csv", table=str(root / "table.csv"))


def coco(root):
  content = coco_test.instances(drawn_files.draw(root, 30))
  return dict(dataset="coco", data_dir=str(root), annotations=coco_test.write(
      root / "own.json", content))


def label_studio(root):
  (root / "own.json").write_text(json.dumps(
      labelling_tools_test.tasks(drawn_files.draw(root, 30))))
  return dict(dataset="label_studio", annotations=str(root / "own.json"))


def cvat(root):
  (root / "own.xml").write_text(
      labelling_tools_test.xml(drawn_files.draw(root, 30)))
  return dict(dataset="cvat", annotations=str(root / "own.xml"))


def svhn(root):
  svhn_files.write(root, train=60, test=20, extra=10)
  return dict(dataset="svhn", data_dir=str(root), classes=("1", "4"),
              svhn_extra=True)


def tfds(root):
  tiny_builders.prepare(tiny_builders.TinyObjects, root)
  return dict(dataset="tfds:tiny_objects", data_dir=str(root),
              no_download=True)


@pytest.mark.parametrize("make", [csv, coco, label_studio, cvat, svhn, tfds],
                         ids=lambda make: make.__name__)
def test_a_run(make, tmp_path):
  (tmp_path / "data").mkdir()
  config = Config(**TINY, **make(tmp_path / "data")).resolve()
  result = training.train_and_evaluate(config, tmp_path / "run")
  assert result["steps"]["consistency"] or result["steps"]["supervised"]
  assert result["data"]["train_unlabeled"]
  split = json.loads((tmp_path / "run/splits.json").read_text())
  if make is csv:
    assert result["groups"] == split["groups"]
    assert sum(result["groups"].values()) >= 10
  assert ("box_iou" in result["test"]) == (make is not svhn)
  assert ("mask_iou" in result["test"]) == (make in (coco, cvat))
  run = runs.load(tmp_path / "run")
  assert run.config.dataset == config.dataset
  again = evaluate_run.evaluate(run)["test"]
  assert again["map_macro"] == pytest.approx(result["test"]["map_macro"])
  picture = tmp_path / "one.png"
  PIL.Image.fromarray(np.random.default_rng(0).integers(
      0, 255, [40, 48, 3], np.uint8)).save(picture)
  one = explainer.Explainer(run.classifier, run.class_names, run.multi_label,
                            ["grad_cam"])
  sheets, _, _ = explained_files.explain_images(
      one, [picture], tmp_path / "explained", functools.partial(
          explainer.choose_classes, class_names=one.class_names))
  assert sheets == 1 and list((tmp_path / "explained").iterdir())

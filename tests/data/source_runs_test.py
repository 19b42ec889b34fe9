"""A run of two steps on each source of images, judged and explained."""

import functools
import json

import pytest

from atcon_tf.config import Config
from atcon_tf.config import settings
from atcon_tf.data import registry
from atcon_tf.data import shard_writer
from atcon_tf.evaluation import evaluate_run
from atcon_tf.reports import explained_files
from atcon_tf.reports import explained_recordings
from atcon_tf.reports import explainer
from atcon_tf import runs
from atcon_tf import training
from tests import voc_devkit
from tests.data import coco_test
from tests.data import drawn_clips
from tests.data import drawn_files
from tests.data import labelling_tools_test
from tests.data import svhn_files
from tests.data import tiny_builders

TINY = dict(model="tiny_cnn", image_size=32, objective="atcon", shots=2,
            steps=2, eval_every=1, batch_size=4, unlabeled_batch_size=4,
            bootstrap=0, summary_images=2)
# Most sources are trained without the pool, in a fraction of the time.
SUPERVISED = {k: v for k, v in TINY.items() if k != "unlabeled_batch_size"} | {
    "objective": "supervised"}


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


def folder(root):
  for drawn in drawn_files.draw(root / "all", 24):
    name = root / "photos" / drawn.name / drawn.path
    name.parent.mkdir(parents=True, exist_ok=True)
    (root / "all" / drawn.path).rename(name)
  return dict(dataset="folder", data_dir=str(root / "photos"))


def image_list(root):
  lines = [f"{d.path} {d.name}\n" for d in drawn_files.draw(root, 24)]
  for part, chosen in {"train": lines[:14], "val": lines[14:]}.items():
    (root / f"{part}.txt").write_text("".join(chosen))
  return dict(dataset="image_list", data_dir=str(root), train_list=str(
      root / "train.txt"), val_list=str(root / "val.txt"))


def voc(root):
  year = root / "VOCdevkit/VOC2007"
  for name in ("Annotations", "ImageSets/Main"):
    (year / name).mkdir(parents=True)
  drawn = drawn_files.draw(year / "JPEGImages", 24)
  for one in drawn:
    stem = one.path.partition(".")[0]
    shape = voc_devkit.OBJECT.format(one.name, *one.box, difficult=0)
    (year / f"Annotations/{stem}.xml").write_text(voc_devkit.XML.format(
        width=drawn_files.WIDTH, height=drawn_files.HEIGHT, objects=shape))
  stems = [f"{one.path.partition('.')[0]}\n" for one in drawn]
  for part, chosen in {"train": stems[:12], "val": stems[12:18],
                       "test": stems[18:]}.items():
    (year / f"ImageSets/Main/{part}.txt").write_text("".join(chosen))
  return dict(dataset="voc", data_dir=str(root / "VOCdevkit"))


def prepared(root):
  (root / "raw").mkdir()
  config = Config(**TINY, **coco(root / "raw")).resolve()
  shard_writer.write(registry.load(config), config, root / "stored")
  return dict(dataset="prepared", data_dir=str(root / "stored"), image_size=0)


def video(root):
  for i in range(12):
    drawn_clips.folder(root / ("run", "walk")[i % 2] / f"{i}", 6)
  return dict(dataset="video", data_dir=str(root), frames=4,
              clip_cache=str(root.parent / "cache"))


def moving_shapes(root):
  del root
  return dict(dataset="moving_shapes", frames=9, unlabeled="8",
              classes=("left", "right"))


SOURCES = (csv, coco, label_studio, cvat, svhn, tfds, folder, image_list, voc,
           prepared, video, moving_shapes)
# Whose runs are judged and explained by other tests, of `tiny_run` and of
# data/binary_masks_runs_test.py.
ELSEWHERE = {"shapes", "binary_masks"}


def test_every_source_has_a_run():
  own = {settings.TFDS if make is tfds else make.__name__ for make in SOURCES}
  assert own | ELSEWHERE == set(settings.DATASETS)


@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
def test_a_run(make, tmp_path):
  (tmp_path / "data").mkdir()
  base = TINY if make in (csv, moving_shapes) else SUPERVISED
  config = Config(**{**base, "eval_every": 2, "summary_images": 0,
                     **make(tmp_path / "data")}).resolve()
  result = training.train_and_evaluate(config, tmp_path / "run")
  assert 2 in (result["steps"]["consistency"], result["steps"]["supervised"])
  assert result["data"]["train_unlabeled"]
  split = json.loads((tmp_path / "run/splits.json").read_text())
  if make is csv:
    assert result["groups"] == split["groups"]
    assert sum(result["groups"].values()) >= 10
  assert ("box_iou" in result["test"]) == (
      make not in (svhn, folder, image_list, video, moving_shapes))
  assert ("mask_iou" in result["test"]) == (make in (coco, cvat, prepared))
  run = runs.load(tmp_path / "run")
  assert run.config.dataset == config.dataset
  again = evaluate_run.evaluate(run)["test"]
  assert again["map_macro"] == pytest.approx(result["test"]["map_macro"])
  one = explainer.Explainer(run.classifier, run.class_names, run.multi_label,
                            ["grad_cam"])
  choose = functools.partial(explainer.choose_classes,
                             class_names=one.class_names)
  if run.classifier.frames:
    drawn_clips.folder(tmp_path / "clip", 12)
    assert list(explained_recordings.explain_recording(
        one, str(tmp_path / "clip"), runs.cut_of(run.path), tmp_path / "out",
        choose, "gif"))
  else:
    drawn_files.draw(tmp_path, 1)
    sheets, _, _ = explained_files.explain_images(
        one, [tmp_path / "00.png"], tmp_path / "out", choose)
    assert sheets == 1
  assert list((tmp_path / "out").iterdir())

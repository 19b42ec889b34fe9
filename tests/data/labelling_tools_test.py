"""Exports of Label Studio and CVAT, and what is refused."""

import json

import numpy as np
import pytest

from atcon_tf.data.sources import cvat
from atcon_tf.data.sources import label_studio
from tests.data import drawn_files
from tests.refusals import refused


def tasks(drawn, boxes=True):
  """A Label Studio export; the pictures have the names of uploads."""
  found = []
  for number, one in enumerate(drawn):
    x1, y1, x2, y2 = np.multiply(one.box, [100 / 48, 100 / 40] * 2).tolist()
    result = {"type": "choices", "value": {"choices": [one.name]}}
    if boxes:
      result = {"type": "rectanglelabels", "original_width": 48,
                "original_height": 40, "value": {
                    "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1,
                    "rotation": 0, "rectanglelabels": [one.name]}}
    found.append({"id": 100 + number, "data": {
        "image": f"/data/upload/1/0a1b2c3d-{one.path}"}, "annotations": [
            {"was_cancelled": False, "result": [result]}]})
  return found


def studio(root, drawn, change=lambda content: None, **options):
  content = tasks(drawn, **options)
  change(content)
  path = root / "export.json"
  path.write_text(json.dumps(content))
  return label_studio.load(str(path))


def _rle(one):
  """Row by row in the box: the numbers of pixels outside, inside, outside."""
  x1, y1, x2, y2 = one.box
  inside = one.mask[y1:y2, x1:x2].ravel()
  ends = np.flatnonzero(np.diff(inside)) + 1
  runs = np.diff([0, *ends, inside.size]).tolist()
  return ",".join(map(str, [0, *runs] if inside[0] else runs))


def xml(drawn, shapes=True):
  """A CVAT export."""
  lines = ["<annotations><version>1.1</version>"]
  for number, one in enumerate(drawn):
    x1, y1, x2, y2 = one.box
    inner = f'<tag label="{one.name}"/>' if not shapes else [
        f'<box label="{one.name}" xtl="{x1}" ytl="{y1}" xbr="{x2}" '
        f'ybr="{y2}"/>',
        f'<polygon label="{one.name}" points="{x1},{y1};{x2},{y1};{x2},{y2}"/>',
        f'<mask label="{one.name}" left="{x1}" top="{y1}" width="{x2 - x1}" '
        f'height="{y2 - y1}" rle="{_rle(one)}"/>'][number % 3]
    lines.append(f'<image id="{number}" name="{one.path}" width="48" '
                 f'height="40">{inner}</image>')
  return "\n".join([*lines, "</annotations>"])


def exported(root, text):
  path = root / "export.xml"
  path.write_text(text)
  return cvat.load(str(path))


@pytest.fixture(name="drawn")
def _drawn(tmp_path):
  return drawn_files.draw(tmp_path, 20)


def check_boxes(found, drawn):
  assert found.class_names == ("disc", "square") and found.multi_label
  known = {r.id: r for part in found.splits.values() for r in part}
  assert len(known) == 20
  for one in drawn:
    np.testing.assert_allclose(
        known[one.path].boxes * [48, 40, 48, 40], [one.box], atol=1e-3)
    assert known[one.path].box_label == drawn_files.NAMES.index(one.name)


def test_rectangles(tmp_path, drawn):
  check_boxes(studio(tmp_path, drawn), drawn)


def test_shapes(tmp_path, drawn):
  check_boxes(exported(tmp_path, xml(drawn)), drawn)


def test_masks(tmp_path, drawn):
  """A box is no mask; a triangle, a mask in runs; a box beside a mask."""
  text = xml(drawn).replace(
      '</image>', '<box label="disc" xtl="0" ytl="0" xbr="2" ybr="1"/>'
      '<polygon label="square" z_order="1" points="4,0;8,0;8,4;4,4"/></image>',
      3)
  records = {r.id: r for p in exported(tmp_path, text).splits.values()
             for r in p}
  plain = records[drawn[3].path], records[drawn[5].path]
  assert not plain[0].mask
  np.testing.assert_array_equal(
      plain[1].mask() == 2, drawn[5].mask)  # runs of a square
  assert set(np.unique(plain[1].mask())) == {0, 2}
  disc = records[drawn[2].path].mask()
  np.testing.assert_array_equal((disc == 1)[5:], drawn[2].mask[5:])
  assert (disc[0, :2] == 255).all() and (disc[1:4, 5:8] == 2).all()
  x1, y1, x2, y2 = drawn[4].box  # a triangle
  triangle = records[drawn[4].path].mask() == 1
  assert triangle[y1 + 1, x2 - 1] and not triangle[y2 - 1, x1 + 1]
  assert triangle.sum() == pytest.approx((x2 - x1) * (y2 - y1) / 2, rel=.25)


def test_choices_and_tags(tmp_path, drawn):
  for found in (studio(tmp_path, drawn, boxes=False),
                exported(tmp_path, xml(drawn, shapes=False))):
    assert not found.multi_label
    assert {p: len(r) for p, r in found.splits.items()} == {
        "train": 12, "val": 4, "test": 4}


def test_a_turned_rectangle(tmp_path, drawn):
  """A quarter turn about its first corner: to its left, width for height."""
  def turn(content):
    value = content[0]["annotations"][0]["result"][0]["value"]
    value.update(x=50, y=50, width=25, height=20, rotation=90)
  found = studio(tmp_path, drawn, turn)
  record = next(r for p in found.splits.values() for r in p
                if r.id == drawn[0].path)
  # 12 x 8 pixels at (24, 20): x from 24 - 8 to 24, y from 20 to 20 + 12.
  np.testing.assert_allclose(record.boxes * [48, 40, 48, 40],
                             [[16, 20, 24, 32]], atol=1e-3)


def test_tasks_without_annotations_and_with_several(tmp_path, drawn):
  def change(content):
    content[0]["annotations"] = []
    content[1]["annotations"][0]["was_cancelled"] = True
    content[2]["annotations"].append({"result": []})
    content[3]["annotations"][0]["result"] = []
    content[4]["data"]["image"] = (
        f"/data/local-files/?d={drawn[4].path}")
  found = studio(tmp_path, drawn, change)
  assert {r.id for r in found.splits["unlabeled"]} == {
      drawn[0].path, drawn[1].path}
  assert "note: 1 tasks have several annotations; the first counts" in (
      found.notes)
  known = {r.id: r for p in found.splits.values() for r in p}
  assert known[drawn[3].path].label.tolist() == [0, 0]  # a negative
  assert known[drawn[4].path].label.any()


def test_subsets_are_parts(tmp_path, drawn):
  text = xml(drawn)
  for number in range(20):
    subset = ["Train", "Validation", "Test"][number // 2 % 3]
    text = text.replace(f'<image id="{number}" ',
                        f'<image id="{number}" subset="{subset}" ')
  found = exported(tmp_path, text)
  assert {p: len(r) for p, r in found.splits.items()} == {
      "train": 8, "val": 6, "test": 6}
  assert found.drawn == ()


def _value(content):
  return content[3]["annotations"][0]["result"][0]["value"]


@pytest.mark.parametrize("change, message", [
    (lambda c: c[3]["data"].update(image="../../x.jpg"), "no image .*x.jpg"),
    (lambda c: c[3].update(data={"text": "a"}), "no image in its data"),
    (lambda c: c[3].update(data=c[2]["data"]), "is also in .*, task 102"),
    (lambda c: _value(c).pop("width"), "malformed result, at 'width'"),
    (lambda c: _value(c).update(width=0), "is empty or outside its image"),
    (lambda c: _value(c).update(x=99, width=30), "is empty or outside"),
    (lambda c: _value(c).update(rectanglelabels=3), "malformed result")])
def test_refuses_tasks(tmp_path, drawn, change, message):
  with refused("export.json, task 103: .*" + message) as caught:
    studio(tmp_path, drawn, change)
  assert "\n" not in str(caught.value)


BOMB = """<!DOCTYPE a [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>
<annotations><image name="&b;"/></annotations>"""


@pytest.mark.parametrize("text, message", [
    ("", "not an XML file of CVAT: ParseError"),
    (BOMB, "not an XML file of CVAT: EntitiesForbidden"),
    ("<annotations/>", "no <image> in it; export it as"),
    ('<a><image name="../x.jpg"/></a>', "image 0 .*does not lie below"),
    ('<a><image name="x.jpg"/></a>', "image 0 'x.jpg': no image"),
    ('<a><image name="00.png"/><image name="00.png"/></a>',
     "image 1 '00.png': is also .*image 0"),
    ('<a><image name="00.png"><box label="a" xtl="1"/></image></a>',
     "malformed <box> of 'a'"),
    ('<a><image name="00.png" width="48" height="40"><mask label="a" left="1" '
     'top="1" width="3" height="3" rle="4,4"/></image></a>',
     "malformed <mask>"),
    ('<a><image name="00.png" width="48" height="40"><box label="a" xtl="9" '
     'ytl="1" xbr="3" ybr="9"/></image></a>', "box 9,1,3,9 is empty or")])
def test_refuses_xml(tmp_path, drawn, text, message):
  del drawn
  with refused("export.xml.*" + message) as caught:
    exported(tmp_path, text)
  assert "\n" not in str(caught.value)


def test_refuses_files(tmp_path):
  for load in (cvat.load, label_studio.load):
    with refused("--annotations=.*none: No such file"):
      load(str(tmp_path / "none"))
  (tmp_path / "x.json").write_text('{"images": []}')
  with refused("--annotations=.*x.json: must be a list of tasks with 'data'"):
    label_studio.load(str(tmp_path / "x.json"))

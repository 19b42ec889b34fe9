"""Figures of maps: names whole and upright, verdicts, blank maps, clips."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest

from atcon_tf.reports.figures import canvas
from atcon_tf.reports.figures import comparison_figures
from atcon_tf.reports.figures import contact_sheets
from atcon_tf.reports.figures import map_rows

NAME = "v_PlayingTheViolinIndoors_g25_c01_frame_000123.jpg"
CAPTION = (f"{NAME}\nis: Playing the violin, indoors, Surfing\n"
           "says: Playing the violin, indoors 93% (right)")
IMAGES = np.random.default_rng(0).uniform(size=[3, 48, 48, 3])
HEAT = IMAGES[..., 0]
BOXES = [np.array([[.1, .1, .5, .5]])] * 3


def _drawn(figure):
  """The figure after its layout, and its renderer."""
  FigureCanvasAgg(figure).draw()
  return figure.canvas.get_renderer()


def _found():
  return {"first": HEAT, "second": HEAT, "mask": HEAT, "first_masked": HEAT,
          "seen": IMAGES}


def test_names_are_whole_upright_and_apart():
  figure = map_rows.explanations(IMAGES, _found(), BOXES, [CAPTION] * 3)
  renderer = _drawn(figure)
  edges, (axes,) = [], figure.axes
  titles, captions = axes.texts[:6], axes.texts[6:]
  assert [t.get_text() for t in titles] == list(map_rows.AGREEMENT_COLUMNS)
  assert len(captions) == 3
  for title in titles:
    box = title.get_window_extent(renderer)
    assert box.y0 >= axes.bbox.y1 and box.y1 <= figure.bbox.y1
  for label in captions:
    assert label.get_rotation() == 0
    assert "".join(label.get_text().split()) == "".join(CAPTION.split())
    box = label.get_window_extent(renderer)
    assert box.x0 >= 0 and box.x1 <= axes.get_window_extent().x0
    edges.append((box.y0, box.y1))
  for above, below in zip(edges, edges[1:]):
    assert above[0] >= below[1]
  assert edges[0][1] <= figure.bbox.y1 and edges[-1][0] >= 0


def test_tiles_and_boxes_stand_in_their_places():
  found = _found() | {"first_masked": -HEAT}
  figure = map_rows.explanations(IMAGES, found, BOXES, [CAPTION] * 3)
  (axes,) = figure.axes
  picture, step = axes.images[0].get_array(), 48 + 2
  np.testing.assert_allclose(picture[step:step + 48, :48], IMAGES[1], 1e-6)
  np.testing.assert_allclose(  # the mask, the fourth column
      picture[:48, 3 * step:3 * step + 48, 0], HEAT[0], 1e-6)
  assert (picture[48:step] == 1).all() and picture.shape[0] == 3 * step - 2
  corners = {tuple(np.round(p.get_xy(), 6)) for p in axes.patches}
  assert corners == {(x * step + 4.3, y * step + 4.3) for x in (0, 1, 5)
                     for y in range(3)}
  words = [t for t in axes.texts if canvas.BLANK.split()[0] in t.get_text()]
  assert [t.get_position() for t in words] == [
      (5 * step + 24, y * step + 24) for y in range(3)]


def test_an_equal_map_and_an_equal_mask_say_so():
  found = _found() | {"first_masked": np.ones_like(HEAT),
                      "mask": np.full_like(HEAT, .5)}
  figure = map_rows.explanations(IMAGES, found, BOXES, [CAPTION] * 3)
  (axes,) = figure.axes
  words = [t.get_position()[0] for t in axes.texts
           if " ".join(t.get_text().split()) == canvas.EQUAL]
  assert sorted(words) == [3 * 50 + 24] * 3 + [5 * 50 + 24] * 3
  picture = axes.images[0].get_array()[:48, 5 * 50:5 * 50 + 48]
  assert np.ptp(picture, -1).max() < .01  # the photo in grey, no colour


def test_a_photo_a_map_and_a_verdict():
  figure = map_rows.verdicts(
      IMAGES, HEAT, BOXES, ["Playing the violin, indoors 93%"] * 3,
      ["Playing the violin, indoors"] * 2 + ["Surfing"], [True, True, False],
      [NAME] * 3)
  assert len(figure.axes) == 2 * 2 * 3  # two images a row
  renderer = _drawn(figure)
  marks = [text for axes in figure.axes for text in axes.texts
           if text.get_text() in ("✓ right", "✗ wrong")]
  assert [text.get_text() for text in marks] == ["✓ right"] * 2 + ["✗ wrong"]
  for axes in figure.axes:
    for text in axes.texts:
      box = text.get_window_extent(renderer)
      assert box.y0 >= axes.bbox.y0 - 2 and box.x1 <= axes.bbox.x1 + 12
  assert map_rows.verdicts(IMAGES[:1], HEAT[:1], BOXES[:1], ["a"], ["b"],
                           [False], ["a.png"])


def test_a_blank_map_says_so():
  for heat, words in [(HEAT, 0), (-HEAT, 1), (0 * HEAT, 1)]:
    figure = map_rows.verdicts(IMAGES[:1], heat[:1], BOXES[:1], ["a"], ["a"],
                               [True], ["a.png"])
    assert sum(" ".join(text.get_text().split()) == canvas.BLANK
               for text in figure.axes[1].texts) == words


@pytest.mark.parametrize("size, line", [(48, .6), (120, .8), (500, 1.5)])
def test_boxes_are_thin_on_small_photos(size, line):
  _, axes = canvas.grid(1, 1, ["image"])
  canvas.show_boxes(axes[0, 0], BOXES[0], (size, size + 9))
  assert axes[0, 0].patches[0].get_linewidth() == pytest.approx(line)


@pytest.mark.parametrize("size, text", [
    ((240, 320), "Playing the violin 93%"), ((40, 48), "ship 93%")])
def test_a_frame_says_its_class(size, text):
  frame = np.full([*size, 3], 200, np.uint8)
  stamped = contact_sheets.stamp(frame, text)
  changed = (stamped != frame).any(-1)
  assert not changed[:size[0] // 4].any() and changed[-1].all()
  assert (stamped[changed] > 150).any()  # letters, on a bar of 66
  assert (frame == 200).all()
  bar = stamped[changed.all(1)]
  assert (bar[:, -2:] < 150).all()  # the text ends before the edge


def test_the_gain_is_explained_below_its_figure():
  table = {"consistency": np.linspace(-.5, .5, 9)}
  after = {"consistency": np.linspace(.1, .4, 9)}
  figure = comparison_figures.gain(
      table, after, ("old", "new"),
      {"difference": .25, "interval": [.1, .4]}, 20)
  text = " ".join(figure.get_supxlabel().split())
  assert "A point is a test image" in text and "with new (upwards)" in text

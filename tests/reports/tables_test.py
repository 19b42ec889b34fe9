"""Tables of text say what their numbers allow."""

import pathlib

from atcon_tf.reports import glossary
from atcon_tf.reports import map_tables
from atcon_tf.reports import tables

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


def _row(difference, low, high, p):
  return {"difference": difference, "interval": [low, high], "p": p}


def test_a_difference_below_the_digits_is_equal():
  shown = tables.differences_table({
      "map_macro": _row(.0002, .0001, .004, .001),
      "map_weighted": _row(0., 0., 0., 1.),
      "f1_macro": _row(.0002, -.05, .05, .99),
      "accuracy": _row(.02, .01, .03, .004)}, "b over a").splitlines()
  lines = {line[:13].strip(): line[13:].split() for line in shown[2:]}
  assert lines["mAP, macro"] == ["equal", "[+0.000,", "+0.004]", "-"]
  assert lines["mAP, weighted"][0] == "equal"
  assert lines["F1, macro"] == ["+0.000", "[-0.050,", "+0.050]", "0.990"]
  assert lines["accuracy"][-1] == "0.004"
  assert shown[2].startswith("accuracy")  # of one label an image it is first


def test_a_class_that_a_mean_leaves_out_is_named():
  scores = {"per_class": {"cat": {"support": 3.}, "cow": {"support": 0.},
                          "hen": {"support": 0.}}, "map_macro": .5}
  result = {"steps": {"supervised": 1, "consistency": 0, "best": 1},
            "seconds": 1, "val": scores}
  text = " ".join(tables.scores_table({"run": result}, "val").split())
  assert "No val image shows cow, hen: means over classes" in text
  scores["per_class"] = {"cat": {"support": 3.}}
  assert "No val image" not in tables.scores_table({"run": result}, "val")


def test_an_end_that_is_rounded_to_zero_has_no_sign():
  assert tables.ends([-.0002, .014]) == "[0.000, 0.014]"
  assert tables.ends([-.0002, .014], "+.3f") == "[+0.000, +0.014]"


def test_what_all_runs_have_in_common_is_said_once():
  two = {"a": ["Few.", "At 0.3."], "b": ["Few.", "At 0.7."]}
  assert tables.shared(two) == ["Few.", "a: At 0.3.", "b: At 0.7."]
  assert tables.shared({"a": ["Few.", "At 0.3."]}) == ["Few.", "At 0.3."]


def test_the_sanity_table_says_which_column_decides():
  text = map_tables.randomization({
      "passes_below": .3, "fails_above": .6, "stages": ["logits", "100%"],
      "methods": {"grad_cam": {
          "parameters": {"logits": .5, "100%": .1},
          "parameters_verdict": "passes", "labels": .2,
          "labels_verdict": "passes"}}})
  heading = text.split("\n\n")[1].splitlines()[0].split("  ")
  heading = [word.strip() for word in heading if word.strip()]
  assert heading == ["method", "logits", "100% *", "verdict of *", "labels",
                     "verdict of labels"]
  assert "column with * decides" in text


def test_the_glossary_is_that_of_the_documents():
  assert len(glossary.WORDS) == 11
  assert glossary.markdown() in (DOCS / "glossary.md").read_text("utf-8")


def test_a_wide_table_is_printed_in_blocks_of_columns():
  lines = [["method", "a" * 60, "b" * 60], ["rise", "1", "2"]]
  first, second = tables.blocks(lines).split("\n\n")
  assert first.splitlines()[0] == "method  " + "a" * 60
  assert second.splitlines()[0] == "method  " + "b" * 60
  assert second.splitlines()[2].split() == ["rise", "2"]
  assert tables.blocks(lines, 200) == tables.align(lines)

"""The tournament: who is out and why, who wins, what the run keeps."""

import dataclasses
import json
import shutil
import types

import numpy as np
import pytest

from atcon_tf.config import names
from atcon_tf.config import UserError
from atcon_tf import evaluate
from atcon_tf import explain
from atcon_tf.evaluation import cases
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation import tournament
from atcon_tf.reports import tournament_page
from atcon_tf import runs
from atcon_tf.runs import run_folder
from atcon_tf.runs import trusted_method
from atcon_tf.serving import export_run

COSTS = {"grad_cam": 1, "gradient": 1, "guided_backprop": 1, "cam": 1,
         "layer_cam": 1, "smooth_grad": 26, "rise": 501, "(centre)": 0}


def _cases(count=60, groups=None):
  """Cases whose one pixel is the number of the image."""
  images = np.arange(count, dtype=np.float32).reshape([count, 1, 1, 1])
  return cases.Cases([f"{i}.jpg" for i in range(count)], images,
                     np.zeros(count, int), [np.zeros([1, 4])] * count,
                     np.zeros([count, 1, 1], np.uint8), groups)


@pytest.fixture(name="hold")
def _hold(monkeypatch):
  """A tournament of methods whose scores are known."""
  better = {"guided_backprop": .5, "gradient": .2, "smooth_grad": .1,
            "layer_cam": -.1, "cam": 0, "grad_cam": 0, "rise": .9,
            "(centre)": -.3}

  def hold(count=60, passes=5000, groups=None, methods=(), boxes=0,
           **changes):
    points = {**{m: -.2 for m in methods}, **better, **changes}
    seen = []

    def judgement(classifier, method, multi_label, predict):
      if method == "full_grad":
        raise UserError("full_grad: has no meaning here")

      def scores(part, metrics):
        number = part.images[:, 0, 0, 0].astype(int)
        seen.extend((method, n, "random_weights" in metrics) for n in number)
        base = .5 + .1 * np.sin(number)
        # Each method has a noise of its own, but "cam" that of grad_cam.
        own = list(points).index("grad_cam" if method == "cam" else method)
        noise = .02 * np.cos(number * (1 + own))
        alike = .9 if method == "guided_backprop" else .1
        return {"scores": {
            "random_weights": np.full(len(number), alike),
            "insertion": base + points[method] + noise, "deletion": base,
            "energy_pointing_game": np.full(
                len(number), boxes * (1 + points[method]) or np.nan)}}

      return scores

    monkeypatch.setattr(method_scores, "judgement", judgement)
    monkeypatch.setattr(method_scores, "predictor", lambda *_: None)
    monkeypatch.setattr(method_scores, "passes", lambda _, m: COSTS.get(m, 1))
    methods = methods or [m for m in COSTS if m != "(centre)"] + ["full_grad"]
    return tournament.hold(None, _cases(count, groups), methods,
                           passes=passes, samples=200), seen

  return hold


def test_who_is_out_and_who_wins(hold):
  outcome, seen = hold()
  why = {m: row["out"] for m, row in outcome["methods"].items()}
  assert why["guided_backprop"] == "fails the sanity check"
  assert why["cam"] == "the map of grad_cam by these weights"
  assert why["full_grad"] == "not here: has no meaning here"
  assert why["rise"] == ("too dear: the sanity check of 2 images takes 2004 "
                         "passes, more than its share")
  assert why["layer_cam"] == "lost in round 1"
  assert why["gradient"] == why["grad_cam"] == ""
  assert outcome["method"] == outcome["final"]["method"] == "gradient"
  row = outcome["final"]["differences"]["faithfulness"]
  assert row["difference"] == pytest.approx(.2, abs=.02)
  assert row["interval"][0] > .1
  # The final is held on images that nobody saw before.
  early, late = map(set, tournament.halves(_cases()))
  of = lambda m: [n for method, n, sane in seen if method == m and not sane]
  assert set(of("smooth_grad")) <= early
  last = of("gradient")[-outcome["final"]["images"]:]
  assert set(last) <= late and set(of("gradient")[:-len(last)]) <= early
  assert len(of("gradient")) == len(set(of("gradient")))  # none is paid twice
  assert outcome["passes"] <= 5000
  text = tournament_page.sentence(outcome)
  assert text.startswith("On your 60 validation images use gradient, which "
                         "beats grad_cam: insertion minus deletion +0.")
  assert f"over {outcome['final']['images']} of them that had no" in text
  assert "unclear" not in text
  doubtful = {**outcome["methods"]["gradient"], "verdict": "unclear",
              "similarity": .45}
  assert "unclear: they have a similarity of 0.45" in tournament_page.sentence(
      {**outcome, "methods": {**outcome["methods"], "gradient": doubtful}})
  final = outcome["final"]
  assert f"over the {final['units']} groups of {final['images']} of them" in (
      tournament_page.sentence({**outcome, "groups": 30}))
  control = outcome["final"]["means"]["(centre)"]["faithfulness"]
  assert (f"a spot in the middle that sees no image has insertion minus "
          f"deletion {control:.3f} (gradient 0.") in text
  assert text.endswith(" Not compared, because --passes is too small for them: "
                       "1 method.")
  text = tournament_page.table(outcome)
  assert max(map(len, text.splitlines())) <= 120
  first = text.split("\n\n")[1].splitlines()[2]
  assert first.split()[0] == "gradient" and "cam of" not in first


def test_a_costly_method_sees_fewer_images(hold):
  outcome, _ = hold(passes=1200, methods=["smooth_grad"])
  images = {m: row["images"] for m, row in outcome["methods"].items()}
  # 624 passes for the round: 22 and 23 an image, eight times; 48, five times.
  assert images == {"(centre)": 8, "grad_cam": 8, "smooth_grad": 5}
  assert outcome["passes"] <= 1200


def test_thirty_cheap_methods_all_play(hold):
  """Of a budget that gives each of them less than four images a round."""
  many = [f"m{i}" for i in range(30)]
  outcome, _ = hold(passes=9000, methods=many, count=160)
  assert all(outcome["methods"][m]["images"] >= 4 for m in many)
  assert outcome["passes"] <= 9000


def test_nothing_beats_grad_cam(hold):
  outcome, _ = hold(gradient=0., smooth_grad=-.1)
  assert outcome["method"] == "grad_cam"
  text = tournament_page.sentence(outcome)
  assert "no method beats grad_cam: use grad_cam. The best other" in text


def test_better_in_one_and_worse_in_the_other_is_no_win(hold):
  won, _ = hold(boxes=1)
  assert won["method"] == "gradient"
  assert set(won["final"]["differences"]) == {"faithfulness", "localisation"}
  lost, _ = hold(boxes=-1, methods=["gradient"])
  assert lost["final"]["method"] == "gradient"
  assert lost["method"] == "grad_cam"


def test_few_images_say_nothing(hold):
  outcome, _ = hold(count=10)
  assert outcome["final"]["units"] < tournament.LEAST_UNITS
  assert outcome["method"] == "grad_cam"
  assert "they are too few to tell whether" in tournament_page.sentence(outcome)
  with pytest.raises(UserError, match="needs two images"):
    hold(count=1)


def test_groups_are_not_divided(hold):
  patients = [f"group {i // 10}" for i in range(60)]
  early, late = tournament.halves(_cases(groups=patients))
  assert not {patients[i] for i in early} & {patients[i] for i in late}
  outcome, _ = hold(groups=patients)
  assert outcome["groups"] == 6 and outcome["final"]["units"] == 3
  assert outcome["method"] == "grad_cam"  # of three patients, whatever they say


def test_the_shares():
  # The cheap one needs 8 of its 100, so 192 are left for the other.
  assert tournament.shares(200, {"b": 12, "a": 1}, {"a": 8, "b": 99}) == {
      "a": 8, "b": 16}
  # Too little for all: the cheap ones see `least`, the dearest one nothing.
  same = dict.fromkeys("abc", 8)
  assert tournament.shares(200, {"a": 20, "b": 25, "c": 30}, same, 4) == {
      "a": 4, "b": 4, "c": 0}
  won = tournament.shares_won({"a": {"x": [3, 2, np.nan]},
                               "b": {"x": [1, 2, 3, 9]},
                               "c": {"y": [1]}})
  assert won["a"] == .75 and won["b"] == .25 and np.isnan(won["c"])


class _Values(dict):
  """Flags, as absl gives them."""

  def __init__(self, **values):
    super().__init__({name: types.SimpleNamespace(
        present=name == "methods" and value != [], value=value)
                      for name, value in values.items()})
    self.__dict__.update(values)


def test_the_run_keeps_the_method(tiny_run, tmp_path, monkeypatch, capsys):
  path = tmp_path / "run"
  shutil.copytree(tiny_run, path)
  monkeypatch.setattr(names, "METHODS", ("grad_cam", "gradient", "layer_cam"))
  looked = []
  load_part = runs.load_part
  monkeypatch.setattr(runs, "load_part", lambda run, split, *a, **k: (
      looked.append(split), load_part(run, split, *a, **k))[1])
  given = _Values(target=None, images=20, passes=1500, out="")
  evaluate._hold_tournament(runs.load(path), given)
  said = capsys.readouterr().out
  assert looked == ["val"]
  outcome = json.loads((path / "tournament.json").read_text())
  assert outcome["sentence"] in said and outcome["images"] == 20
  assert (path / "tournament.png").stat().st_size > 10000
  assert set(outcome["methods"]) == {"grad_cam", "gradient", "layer_cam",
                                     "(centre)"}
  assert set(trusted_method.NAMES) <= set(run_folder.NAMES)

  outcome["method"] = "layer_cam"
  (path / "tournament.json").write_text(json.dumps(outcome))
  default = ["grad_cam", "guided_backprop"]
  flags = _Values(methods=[], workdir=str(path), list_layers=False)
  flags.methods = default
  assert explain._methods(flags) == ["layer_cam"]
  assert "method: layer_cam, which the tournament" in capsys.readouterr().out
  said = []
  assert export_run._trusted_first(runs.load(path), said.append) == (
      "grad_cam", "guided_backprop")
  assert "layer_cam, which the tournament of this run chose, is no" in said[0]
  outcome["method"] = "guided_backprop"
  monkeypatch.setattr(names, "METHODS", names.SERVED)
  (path / "tournament.json").write_text(json.dumps(outcome))
  assert export_run._trusted_first(runs.load(path), said.append) == (
      "guided_backprop", "grad_cam") and len(said) == 1
  flags["methods"].present = True
  assert explain._methods(flags) == default
  flags["methods"].present, outcome["method"] = False, None
  (path / "tournament.json").write_text(json.dumps(outcome))
  assert explain._methods(flags) == default
  for text, line in [('{"method": "nonsense", "sentence": ""}', "which is no"),
                     ("{", "not the outcome of a tournament")]:
    (path / "tournament.json").write_text(text)
    with pytest.raises(UserError, match=line):
      explain._methods(flags)

  # Of few images with boxes all take part; a leaderboard judges those few.
  records, images = runs.load_part(runs.load(path), "val")
  sparse = [dataclasses.replace(r, boxes=r.boxes[:0], box_label=r.box_label[:0])
            if i > 4 else r for i, r in enumerate(records)]
  monkeypatch.setattr(runs, "load_part", lambda *_, **__: (sparse, images))
  told = []
  monkeypatch.setattr(tournament, "hold", lambda classifier, cases, *_: (
      told.append(len(cases.ids)), outcome)[1])
  monkeypatch.setattr(tournament_page, "sheet", lambda *_: None)
  given.out, before = str(tmp_path / "few.json"), dict(outcome)
  evaluate._hold_tournament(runs.load(path), given)
  assert told == [20] and outcome != before
  kept = json.loads((tmp_path / "few.json").read_text())
  assert kept["target"] == "prediction"
  assert "5 of the " in capsys.readouterr().out

  other = tmp_path / "other.json"
  (path / "tournament.json").unlink()
  given.out = str(other)
  del outcome["sentence"]
  monkeypatch.setattr(tournament, "hold", lambda *_: outcome)
  monkeypatch.setattr(tournament_page, "sheet", lambda *_: None)
  evaluate._hold_tournament(runs.load(path), given)
  assert other.exists() and not (path / "tournament.json").exists()

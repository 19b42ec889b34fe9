"""Other commands than train that tools/fault_campaign.py kills.

Each function takes the `faulty_runs.Runs`, what happens, and how often; it
returns what came of it, and adds what is wrong to `runs.wrong`.
"""

import functools
import json
import shutil

import numpy as np
import PIL.Image

from tools import faulty_runs
from tools import kill_points
from tools.faulty_runs import FLAGS

# Functions, each with the most seconds within it.
EXPORT = [("atcon_tf.serving.saved_model:ServingModule.save", 0.3),
          ("atcon_tf.serving.formats:keras_only", 0.05),
          ("atcon_tf.serving.export_run:_write_formats", 0.3),
          ("atcon_tf.serving.export_run:_write_warmup", 0.)]
PICTURES, SHARD = 330, 10
_SHORT = [f for f in FLAGS if not f.startswith(("--steps=", "--eval_every="))]


def export(runs, what, times):
  """Kills exports of the run that nothing happened to."""
  runs.whole("atcon")
  out, draw, right = runs.folder / "served", runs.draws(what), 0
  shutil.rmtree(out, ignore_errors=True)
  words = [f"--workdir={runs.folder / 'whole_atcon'}", f"--out={out}"]
  runs.end("export", words)
  wanted = faulty_runs.tree(out / "1")
  for number in range(times):
    target, seconds = draw.choice(EXPORT)
    status = runs.end("export", words, functools.partial(
        kill_points.kill_at, target, 1, draw.uniform(0, seconds)))
    if not runs.is_killed(what, status):
      return ""
    status = runs.end("export", words)
    versions = [p for p in out.iterdir() if p.name.isdecimal()]
    good = status == 0 and len(versions) == number + 2 and all(
        faulty_runs.tree(p) == wanted for p in versions)
    right += good
    if not good:
      runs.wrong.append(f"{what}: status {status}: {runs.said()[-500:]}")
  return f"{right}: the next export ends, and every version is whole"


def prepare(runs, what, times):
  """Kills `atcon_tf.prepare` again and again, and compares its files."""
  pictures, draw = runs.folder / "pictures", runs.draws(what)
  _write_pictures(pictures)
  whole, out = runs.folder / "prepared", runs.folder / "prepared_killed"
  shutil.rmtree(whole, ignore_errors=True)
  shutil.rmtree(out, ignore_errors=True)
  words = ["--dataset=folder", f"--data_dir={pictures}", "--image_size=96",
           f"--shard_images={SHARD}"]
  runs.end("prepare", [*words, f"--out={whole}"])
  wanted, words = faulty_runs.digests(whole), [*words, f"--out={out}"]
  moments = sorted(draw.sample(range(1, PICTURES - SHARD), times))
  kept, halves = [0], 0
  for number, moment in enumerate(moments):
    # A picture or a file, in turn; a shard is two files.
    target, call, seconds = "atcon_tf.config.progress:Progress.add", moment, 0.
    call -= SHARD * kept[-1]
    if number % 2:
      target, seconds = "atcon_tf.config.files:whole", draw.uniform(0, 0.01)
      call = 2 * (moment // SHARD - kept[-1]) + draw.randint(1, 2)
    status = runs.end("prepare", words, functools.partial(
        kill_points.kill_at, target, max(1, call), seconds))
    if not runs.is_killed(what, status):
      return ""
    kept.append(len(list(out.glob("images-*.jsonl"))))
    halves += any(out.glob(".part-*"))
  status = runs.end("prepare", words)
  if status or faulty_runs.digests(out) != wanted:
    runs.wrong.append(f"{what}: status {status}, other files: "
                      f"{runs.said()[-500:]}")
  return (f"{PICTURES} JPEG files in {PICTURES // SHARD} shards: "
          f"{', '.join(map(str, kept[1:]))} shards were whole after the kills, "
          f"{halves} left half a file; the last start ends with the same "
          "manifest and files")


def study(runs, what, times):
  """Kills one of three processes of a study of twelve runs."""
  grid = runs.folder / "grid.json"
  grid.write_text(json.dumps({
      "flags": [*_SHORT, "--steps=2", "--eval_every=2", "--unlabeled=24"],
      "arms": {"base": ["--objective=supervised"],
               "new": ["--objective=atcon"]},
      "baseline": "base", "shots": [1, 2], "seeds": [0, 1, 2],
      "endpoint_shots": [1, 2]}))
  draw, right = runs.draws(what), 0

  def start(name, spoil=None):
    return runs.start("study", [
        f"--grid={grid}", f"--out={runs.folder / name}.json",
        f"--folder={runs.folder / name}"], spoil)

  def rows(name):
    stored = json.loads((runs.folder / f"{name}.json").read_text())["rows"]
    return [{k: r[k] for k in ("arm", "shots", "seed", "steps", "val",
                               "test")} for r in stored]

  start("alone").join()
  for number in range(times):
    name = f"killed_{number}"
    (runs.folder / f"{name}.json").unlink(missing_ok=True)
    shutil.rmtree(runs.folder / name, ignore_errors=True)
    first = start(name, functools.partial(
        kill_points.kill_at, "atcon_tf.studies.study:Study._add",
        draw.randint(1, 2), draw.uniform(0, 0.05)))
    others = [start(name) for _ in range(2)]
    for process in (first, *others):
      process.join()
    runs.is_killed(what, first.exitcode)
    same = rows(name) == rows("alone") and len(rows(name)) == 12
    if not same or [p.exitcode for p in others] != [0, 0]:
      runs.wrong.append(f"{what}: {[p.exitcode for p in others]}, other "
                        f"rows: {runs.said()[-500:]}")
    right += same
  return f"{right} have the table of one process: every run once"


def _write_pictures(folder):
  """JPEG files of smooth noise in two class folders."""
  draw = np.random.default_rng(0)
  for i in range(PICTURES):
    path = folder / ("cat", "dog")[i % 2] / f"{i}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    small = draw.integers(0, 256, (12, 16, 3), np.uint8)
    PIL.Image.fromarray(small).resize((320, 240)).save(path)

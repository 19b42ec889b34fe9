"""The figures of all machines: docs/results/performance.json and its page.

    {"cpu": {"steps": {"rows": [...], "machine", "versions", "date",
                       "command", ...}, ...}, "gpu": {...}}

A measurement replaces the one of the same kind of machine alone. So figures of
a GPU stay when a CPU renews its own.
"""

import itertools
import json
import pathlib

from atcon_tf.config import files

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
FIGURES, PAGE = DOCS / "results" / "performance.json", DOCS / "performance.md"
WHAT = {"steps": "Training steps", "attribution": "Attribution maps",
        "input": "Pictures to batches", "run": "Whole runs",
        "serving": "Serving", "scaling": "Cost of an image as a size grows"}
MACHINES = {"cpu": "CPU", "gpu": "GPU"}

TOP = """\
# Performance

Written by `python -m tools.benchmark` from
[results/performance.json](results/performance.json). What is compared ran in
turn in one command. Milliseconds are the median for an image, with the
quartiles; the ratio is the median over the rounds. Compare ratios: absolute
times change with what else a machine does. The memory is the most that the
process (on a GPU: the device) held so far.

## Where the time of a run goes

Shares of the clock by cProfile at commit c6f11d3, on one processor that other
work shared. VOC: 8 shots, ATCON, MobileNetV2, 161 pixels, 20 of 100 updates;
shapes: the first command of README, its second run.

| | VOC | shapes |
|---|---|---|
| training steps, with their tracing | 31 % | 39 % |
| probe: features of labelled images and pool | 11 % | |
| validation: logits and consistency | 17 % | 13 % |
| pictures for TensorBoard, with their maps | 7 % | 33 % |
| scores of the kept weights | 21 % | 2 % |
| figures of the kept weights | 5 % | 3 % |
| resampling for intervals | 2 % | 0 % |
| reading the images | 2 % | 0 % |
| of these: tracing by TensorFlow | 19 % | 5 % |

What followed from it: pictures are one image instead of fifty axes; their maps
come from the function that scores; that function is traced once, for any number
of images and classes; Grad-CAM of a pooled head takes no gradient; AutoGraph is
off; Adam is one operation for a variable; the passes of a step share the folded
kernels; a validation scores no boxes that nobody reads; frozen layers are
computed once for an image; ranks are sorted once.

A consistency step computes three times as many convolutions as a supervised
one, which bounds their ratio: it has two forward passes and one guided backward
pass, and goes back through all three. By `tf.profiler`, for the 35 convolutions
of MobileNetV2 that are not depthwise, 314 operations against 104: 105 forward,
104 to the input and 105 to the kernel against 35, 34 and 35. Below three is what
both steps have in common, the optimiser above all.

## What can be chosen

| | what it does | measured on one processor that other work shared |
|---|---|---|
| `--xla=on`, `steps` | XLA compiles; `train` lets it keep what it compiled in `atcon_tf/xla` of the user's cache (`XDG_CACHE_HOME` or `~/.cache`), unless `TF_XLA_FLAGS` names another folder | first call of Grad-CAM, MobileNetV2, 96 pixels: 10.8 s; in the next process 1.3 s |
| `--eval_batch_size=auto` | batches of evaluation of 32 images on a CPU, 256 on a GPU | |
| `explain --batch_size=0` | RISE, integrated gradients and the like run as many images at once as 4 GiB hold the outputs of all layers of, at most 64 | ResNet50, 224 pixels: RISE 67, 65, 70, 82 and 89 ms a mask with 8, 16, 32, 64 and 128 at once; integrated gradients 388, 324 and 274 ms a step with 8, 17 and 33 |
| nothing | the scale of a batch normalisation multiplies the kernel before it, or the output where that has fewer numbers | ResNet50, 224 pixels, 8 images: multiplying all kernels takes 12 to 18 % of a forward pass |

## How to measure

```sh
python -m tools.benchmark --what=all --peers --page
python -m tools.benchmark --what=run --cases=1,2,3 --rounds=1 --voc_flags=--data_dir=VOCdevkit --page
```

Each part says beforehand how long it takes, and writes what it has after each
group of rows. `--rounds=3` is enough where the machine does nothing else.
"""


def add(what, kind, found, path=FIGURES):
  """Stores a measurement.

  Args:
    what: a key of `WHAT`.
    kind: "cpu" or "gpu".
    found: dict of "rows" and of what they belong to.
    path: of the JSON file.
  Returns:
    the figures of all machines.
  """
  figures = json.loads(path.read_text()) if path.exists() else {}
  figures.setdefault(kind, {})[what] = found
  files.write_text(path, json.dumps(figures, indent=1) + "\n")
  return figures


def page(figures):
  """The page as markdown."""
  lines = [TOP]
  for what, title in WHAT.items():
    lines += [f"## {title}", ""]
    for kind, name in MACHINES.items():
      found = figures.get(kind, {}).get(what)
      if found is None:
        lines += [f"On a {name}: not measured yet.", ""]
        continue
      commit = f"commit {found['commit']}; " if "commit" in found else ""
      whole = "" if found.get("whole", True) else "; stopped before its end"
      lines += [f"On a {name}: {found['machine']}; load "
                f"{found['load']} at the start; {found['versions']}; "
                f"{commit}{found['date']}{whole}.", "", "```sh",
                found["command"], "```", ""]
      for group, rows in itertools.groupby(found["rows"],
                                           lambda row: row.get("group", "")):
        lines += _table(group, list(rows))
      if what == "scaling":
        lines += [f"![Time of an image as a size grows]"
                  f"(images/scaling_{kind}.png)", ""]
  return "\n".join(lines)


def _table(group, rows):
  """A table of the rows of one group."""
  slow = all(row["ms"] >= 1e4 for row in rows)
  unit, factor = ("s", 1e-3) if slow else ("ms", 1)
  noted = any(row.get("note") for row in rows)
  lines = [f"| {group or 'what'} | {unit} | quartiles | ratio | to | GiB |"
           + " scores |" * noted, "|---" * (6 + noted) + "|"]
  for row in rows:
    value, low, high = (f"{factor * row[key]:.1f}"
                        for key in ("ms", "low", "high"))
    peak = "" if row["peak_gib"] is None else f"{row['peak_gib']:.1f}"
    lines.append(
        f"| {row['name']} | {value} | {low} to {high} | {row['ratio']:.2f} | "
        f"{row['of']} | {peak} |" + f" {row.get('note', '')} |" * noted)
  return [*lines, ""]

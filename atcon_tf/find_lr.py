r"""Suggests learning rates: raises them until the loss explodes.

    python -m atcon_tf.find_lr --flagfile=flags/voc_8shot.flags \
      --data_dir=VOCdevkit --out=W/rates/atcon.json
    python -m atcon_tf.find_lr --compare=W/rates/atcon.json,W/rates/tame.json \
      --out=W/rates/both.json

The learning-rate range test (Smith, arXiv 1506.01186), for every objective.
Settings, data, model, optimisers and batches are those of `atcon_tf.train`,
whose flags can all be given; those of validation and of the length of a run
have no effect. Step i of n multiplies every rate of the run by the same
factor, `low (high / low)^(i / (n - 1))`, so that several optimisers keep their
proportion. A cycle of rates is held at its maximum.

The loss is smoothed by `m_i = 0.9 m_(i-1) + 0.1 loss_i` and shown as
`m_i / (1 - 0.9^i)`, which has no bias towards the start at 0. Where steps of
several kinds alternate, each kind is smoothed by itself, and the curve is the
sum over the kinds from the first step on at which all have a loss. The sweep
stops when a loss is not finite, or when the curve is above its minimum by more
than 3 times that minimum or 3 times its fall, whichever is larger (for a
positive loss that fell little: 4 times the minimum).

The suggestion is the smaller of two factors: the one at which the curve falls
steepest against the logarithm of the rate (the slope of a straight line
through the fifth of the points around it), and a tenth of the factor at the
minimum. The first tenth of the steps is ignored, as the average there is over
few losses.

Writes --out (JSON) and the plot beside it (PNG). With --compare it only plots
sweeps that were made before.
"""

import json
import pathlib

from absl import flags

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import UserError


def main(argv):
  """Sweeps and suggests, or compares sweeps."""
  del argv
  values = flags.FLAGS
  out = pathlib.Path(values.out)
  picture = out.with_suffix(".png")
  if values.compare:
    stems = [pathlib.Path(p).stem for p in values.compare]
    # Sweeps of one name in two folders are called by their paths.
    names = [stem if stems.count(stem) == 1 else path
             for stem, path in zip(stems, values.compare)]
    _draw(picture, dict(zip(names, map(at.studies.learning_rate_range.read,
                                       values.compare))))
    print(picture)
    return
  files.check_file("out", out)
  if out == picture:
    raise UserError("out", out,
                    "its plot goes there; must end otherwise")
  if not values.low < values.high:
    raise UserError("low", values.low,
                    f"must be less than --high={values.high}")
  config = config_flags.from_flags()
  found = at.studies.learning_rate_range.sweep(
      config, values.low, values.high, values.sweep_steps, progress=True)
  if not any(s is not None for s in found["smoothed"]):
    raise UserError("low", values.low,
                    "the loss is not finite from the first steps on; try a "
                    "lower one")
  files.write_text(out, json.dumps(
      {**found, "config": json.loads(config.public().to_json()),
       **at.runs.provenance.environment()}, indent=1))
  _draw(picture, {out.stem: found})
  print(f"{out}\n{picture}")
  if found["stopped"]:
    print(f"stopped after {len(found['loss'])} of {values.sweep_steps} "
          f"steps: {found['stopped']}")
  if not found["suggested"]:
    print("no suggestion: the loss never fell; try a lower --low")
    return
  print("suggested at most: " + " ".join(
      f"--{name}={rate:g}" for name, rate
      in found["suggested_rates"].items()))


def _draw(picture, sweeps):
  """Writes the plot of `{name: sweep}`."""
  files.write_bytes(picture, at.reports.canvas.to_png(
      at.studies.learning_rate_range.plot(sweeps), dpi=110))


def define_flags():
  """The flags of this command."""
  config_flags.define_flags()
  flags.DEFINE_float("low", 1e-3, "first factor of the rates", 1e-12)
  flags.DEFINE_float("high", 1e3, "last factor of the rates", 1e-12)
  flags.DEFINE_integer("sweep_steps", 100, "steps from the first factor to "
                       "the last", 10)
  path_flags.path("out", "W/lr_finder.json", "the sweep; its plot goes "
                  "beside it")
  path_flags.paths("compare", "draw these sweeps instead of making one")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()

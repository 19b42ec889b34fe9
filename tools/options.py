"""Writes docs/options.md, every flag of training: `python -m tools.options`.

The page is made from the settings, group by group; tests/config/config_test.py
fails if it differs from them.
"""

import pathlib

from atcon_tf.config import clip_settings
from atcon_tf.config import checks
from atcon_tf.config.config import Config
from atcon_tf.config.defaults import NETWORKS
from atcon_tf.config.objective_settings import probe_settings
from atcon_tf.config.objective_settings.registry import SETTINGS
from atcon_tf.config.objective_settings.registry import HEADS
from atcon_tf.config.objective_settings.registry import TRAINED
from atcon_tf.config import settings

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "options.md"
GROUPS = (settings.Data, clip_settings.Clips, settings.Model,
          probe_settings.Probe, settings.Training, *SETTINGS,
          settings.Evaluation)

# One network of each kind, and the settings that depend on it, on the objective
# and on the start.
KINDS = {"A pretrained network (mobilenet_v2 and the like)": "mobilenet_v2",
         "A network from scratch (tiny_cnn, networks of clips)": "tiny_cnn"}
BY_CASE = ("start", "head", "schedule", "steps", "learning_rate",
           "head_learning_rate", "consistency_learning_rate",
           "unlabeled_batch_size", "trained_layers", "eval_every")

TOP = """\
# Every option of `python -m atcon_tf.train`

Written by `python -m tools.options` from `atcon_tf/config/settings.py`,
`clip_settings.py` and `objective_settings/`; `--help` prints the same. A flag that
the chosen objective, data set or model does not use is refused in one line.

These are settings of a run. How it is made is told by `--workdir`, `--overwrite`,
`--strategy` ([scale.md](scale.md)) and `--deterministic`
([reliability.md](reliability.md)).
"""


def page():
  """The page as markdown."""
  lines = [TOP, "## Defaults by model, objective and start"]
  for kind, model in KINDS.items():
    lines += ["", *_defaults(kind, model)]
  sizes = ", ".join(f"{name} {one.image_size}"
                    for name, one in NETWORKS.items())
  lines += ["", f"`--image_size`: {sizes}."]
  for group in GROUPS:
    fields = [group.__dataclass_fields__[n] for n in group.__annotations__]
    needs = [set(f.metadata["needs"].items()) for f in fields]
    shared = set.intersection(*needs)
    lines += ["", f"## {group.__doc__.splitlines()[0].rstrip('.')}", ""]
    if shared:
      lines += [f"All of them go with {_needs(shared)}.", ""]
    lines += ["| flag | default | allowed | what it does |",
              "|---|---|---|---|"]
    lines += [_row(f, own - shared) for f, own in zip(fields, needs)]
  return "\n".join(lines) + "\n"


def _defaults(kind, model):
  """What the settings become, a row for the cases that become the same."""
  default = Config(model=model).resolve()
  cases = {}
  for objective in TRAINED:
    for start in ("", "prior") if objective not in HEADS else ():
      config = Config(model=model, objective=objective, start=start).resolve()
      row = tuple(_value(getattr(config, name)) if checks.used(
          config, Config.__dataclass_fields__[name]) else ""
                  for name in BY_CASE)
      text = f"`{objective}`"
      if (objective, config.start) == (default.objective, default.start):
        text += " (the default)"
      if text not in cases.setdefault(row, []):
        cases[row].append(text)
  return [f"{kind}, where `--objective` is `{default.objective}` and "
          f"`--weights` is `{default.weights}` by default:", "",
          "| `--objective` | " + " | ".join(f"`--{n}`" for n in BY_CASE) + " |",
          "|---|" + "---|" * len(BY_CASE),
          *(f"| {', '.join(texts)} | " + " | ".join(row) + " |"
            for row, texts in cases.items())]


def _row(field, needs):
  """A flag as a line of its group's table."""
  text = field.metadata["help"].replace("|", "\\|").replace("*", "\\*")
  if needs:
    text += f". Goes with {_needs(needs)}"
  # A default that is chosen later stands in the text.
  later = "default:" in text
  return (f"| `--{field.name}` | {'' if later else _value(field.default)} | "
          f"{_allowed(field)} | {text} |")


def _value(value):
  if isinstance(value, bool):
    value = str(value).lower()
  elif isinstance(value, tuple):
    value = ",".join(value)
  return "" if value == "" else f"`{value}`"


def _allowed(field):
  """The values that a flag can have."""
  limits = field.metadata
  if limits["choices"]:
    return ", ".join(map(_value, limits["choices"]))
  low, high = limits["minimum"], limits["maximum"]
  if high is not None:
    return f"{low} to {high}"
  return "" if low is None else f"{low} or more"


def _needs(needs):
  return " and ".join(
      f"`--{name}={' or '.join(filter(None, map(str, values)))}`"
      for name, values in sorted(needs))


def main():
  """Writes the page."""
  PAGE.write_text(page(), encoding="utf-8")
  print(PAGE)


if __name__ == "__main__":
  main()

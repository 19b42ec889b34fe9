"""Which seeds a study has: of which runs its means and differences are."""

from atcon_tf.studies import study_grid


def whole(rows, arm, shots, *others):
  """The seeds with which an arm, and others, have run at all of the shots."""
  return sorted(set.intersection(*(
      {r["seed"] for r in rows if r["arm"] == one and r["shots"] == k}
      for one in (arm, *others) for k in shots)))


def listed(seeds):
  """Seeds as text."""
  return ", ".join(map(str, seeds)) or "none"


def progress(grid, rows):
  """How many runs of the study are finished, as text."""
  wanted = set(study_grid.cells(grid))
  done = wanted & {(r["arm"], r["shots"], r["seed"]) for r in rows}
  seeds = ", ".join(map(str, grid["seeds"]))
  if done < wanted:
    return (f"**Incomplete: {len(done)} of {len(wanted)} runs**, seeds "
            f"{seeds}")
  return f"{len(wanted)} runs, seeds {seeds}"


def count(shots):
  """A number of labelled images a class, as text: "all" for 0."""
  return str(shots) if shots else "all"


def unequal(grid, rows, arms):
  """The seeds of each arm, as lines, if arms or shots differ in them."""
  seeds = {arm: {k: whole(rows, arm, [k]) for k in grid["shots"]}
           for arm in arms}
  if len({listed(s) for of in seeds.values() for s in of.values()}) < 2:
    return []
  lines = ["", "The seeds are unequal; these are there:", ""]
  for arm, of in seeds.items():
    groups = {}
    for k, some in of.items():
      groups.setdefault(listed(some), []).append(count(k))
    lines.append(f"- {arm}: " + ("; ".join(
        f"{some} at {', '.join(ks)}" for some, ks in groups.items()
        if some != "none") or "none"))
  return lines

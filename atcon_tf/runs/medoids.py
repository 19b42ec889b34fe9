"""k-medoids: the k members of a set that stand for all of it best."""

import numpy as np

# Rounds of exchanges; each one raises the sum, so there is an end anyway.
ROUNDS = 100


def medoids(similarity, count):
  """The members that maximise `sum_i max_m similarity[i, m]`.

  Partitioning around medoids (Kaufman and Rousseeuw, "Finding groups in
  data", 1990): the first is the member with the largest sum, each further one
  adds most to it; then members are exchanged as long as the sum grows.

  Args:
    similarity: `[N, N]`.
    count: k; at most N are returned.
  Returns:
    list of indices, the one that stands for most members first.

  Example:
    >>> medoids(np.array([[1, .9, 0], [.9, 1, .1], [0, .1, 1]]), 2)
    [1, 2]
  """
  similarity = np.asarray(similarity, np.float64)
  members = range(len(similarity))
  chosen = []

  def total(some):
    return similarity[:, some].max(1).sum()

  for _ in range(min(count, len(similarity))):
    chosen.append(max((m for m in members if m not in chosen),
                      key=lambda m: total([*chosen, m])))
  for _ in range(ROUNDS):
    exchanges = [[*chosen[:i], m, *chosen[i + 1:]]
                 for i in range(len(chosen)) for m in members
                 if m not in chosen]
    best = max(exchanges, key=total, default=chosen)
    if not chosen or total(best) <= total(chosen) + 1e-9:
      break
    chosen = best
  if not chosen:
    return []
  size = np.bincount(similarity[:, chosen].argmax(1), minlength=len(chosen))
  return [chosen[i] for i in np.argsort(-size, kind="stable")]

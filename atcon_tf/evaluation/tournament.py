"""Which map to trust: a tournament of attribution methods on a user's images.

    outcome = tournament.hold(classifier, cases, names.METHODS, passes=20000)
    outcome["method"]                                    # "guided_grad_cam"

1. *Sanity.* A method whose maps stay the same when all weights of the network
   are in random order is out (`metrics.sanity`, its threshold FAILS).
2. *Rounds.* The methods are compared on one half of the images, and the worse
   half of them is out after each round: successive halving (Jamieson and
   Talwalkar, arXiv 1502.07943). What is halved is a budget of forward passes
   and not a time, so that the outcome is the same on every machine. All
   methods of a round get equal shares, so a costly one sees fewer images; if
   the budget is short the dearest ones, which could not see `LEAST`, are out,
   by name.
3. *Final.* The winner of the rounds meets Grad-CAM on the other half of the
   images, which had no part in choosing it, so that the intervals of the
   differences are honest. It is trusted if it is better in one criterion, at
   least, and worse in none.

A criterion is a number for each image, higher is better (`CRITERIA`). Two
methods meet on the images that both have seen; `won` is the share of these
meetings, over all images, criteria and other methods, that a method wins.

Groups of images (patients, parts) are never divided between the halves.
"""

import numpy as np

from atcon_tf.config.names import CENTRE
from atcon_tf.config.progress import Progress
from atcon_tf.config import UserError
from atcon_tf.evaluation import method_scores
from atcon_tf.evaluation.metrics import faithfulness
from atcon_tf.evaluation.metrics import sanity
from atcon_tf.evaluation.metrics import statistics

# The method that the others have to beat.
REFERENCE = "grad_cam"
# What a method is judged by, as a function of its scores.
CRITERIA = {
    "faithfulness": lambda s: s["insertion"] - s["deletion"],
    "localisation": lambda s: s["energy_pointing_game"]}
METRICS = ("insertion", "deletion", "energy_pointing_game")
# The forward passes of an image that the scores need.
SCORED = 2 * (faithfulness.STEPS + 1)
# Images of the sanity check and of the first round; later ones see twice as
# many as the round before. And the fewest images that a method may be judged
# by in the rounds, in the sanity check, and groups of them in the final.
FIRST, LEAST, LEAST_SANE, LEAST_UNITS = 8, 4, 2, 8
# The beginning of why a method is out that was never compared.
TOO_DEAR = "too dear"
# The parts of the budget that the sanity check and the final get.
SANITY_SHARE, FINAL_SHARE = 0.25, 0.25


def hold(classifier, cases, methods, multi_label=True, passes=20000,
         samples=2000):
  """Holds a tournament.

  Args:
    classifier: a `models.Classifier`; its weights are the same afterwards.
    cases: `cases.Cases`, of images that report no score later.
    methods: keys of `attribution.METHODS`.
    multi_label: the probability is a sigmoid; otherwise a softmax.
    passes: forward passes of an image that all may take together.
    samples: bootstrap resamples of the final.
  Returns:
    dict: "images", the number of cases; "groups", if they have some; "passes"
    that were taken; "methods" `{method: {"forward_passes", "similarity"
    (of the maps of random weights), "verdict", "images", "won", each
    criterion: mean, "out": why, "" for the method of the final}}`; "final"
    `{"method", "reference", "images", "means": {method: {criterion: mean}},
    "differences": {criterion: {"difference", "interval", "p"}}}`, or None;
    "method", the one to trust, or None: none of them.
  Raises:
    UserError: there are fewer than 2 images.
  """
  if len(cases.ids) < 2:
    raise UserError("images", len(cases.ids),
                    "a tournament needs two images, at least")
  contest = _Contest(classifier, cases, multi_label, passes)
  contest.enter(methods)
  contest.check_sanity(SANITY_SHARE * passes)
  winner = contest.play_rounds(FINAL_SHARE * passes)
  final, trusted = contest.play_final(winner, samples)
  outcome = {"images": len(cases.ids), "passes": contest.spent,
             "methods": contest.rows, "final": final, "method": trusted}
  if cases.groups:
    outcome["groups"] = len(set(cases.groups))
  return outcome


def halves(cases, seed=0):
  """Two halves of cases, none of which has a group of the other.

  Args:
    cases: `cases.Cases`.
    seed: of the order in which groups, or images, are dealt out.
  Returns:
    two arrays of indices.
  """
  names = cases.groups or list(range(len(cases.ids)))
  _, number = np.unique(names, return_inverse=True)
  order = np.random.default_rng(seed).permutation(number.max() + 1)
  return [np.flatnonzero(order[number] % 2 == half) for half in (0, 1)]


def shares(budget, costs, most, least=0):
  """How many images each method sees for equal shares of a budget.

  What a cheap method does not need goes to the dearer ones. If the budget is
  short, the cheap ones still see `least`, and the dearest ones nothing.

  Args:
    budget: forward passes.
    costs: `{method: forward passes of one image}`.
    most: `{method: the most images}`.
    least: of images, for all methods while the budget lasts.
  Returns:
    `{method: int}`, the cheapest first.

  Example:
    >>> tournament.shares(100, {"rise": 50, "cam": 1}, {"rise": 8, "cam": 8})
    {'cam': 8, 'rise': 1}
  """
  counts = {}
  for method, cost in sorted(costs.items(), key=lambda item: item[1]):
    count = max(budget / (len(costs) - len(counts)), 0) // cost
    if count < least <= budget // cost:
      count = least
    counts[method] = int(min(most[method], count))
    budget -= counts[method] * cost
  return counts


def shares_won(scores):
  """The share of its meetings that each method wins; a draw is half a win.

  Args:
    scores: `{method: {criterion: [n]}}`, of the first n images. A NaN is no
      meeting.
  Returns:
    `{method: float}`, NaN if it met nobody.

  Example:
    >>> tournament.shares_won({"a": {"x": [3, 2]}, "b": {"x": [1, 2, 9]}})
    {'a': 0.75, 'b': 0.25}
  """
  def meetings(one, other):
    for criterion in one.keys() & other.keys():
      a, b = np.array(one[criterion]), np.array(other[criterion])
      n = min(len(a), len(b))
      a, b = a[:n], b[:n]
      known = np.isfinite(a) & np.isfinite(b)
      if known.any():
        yield float(((a > b) + .5 * (a == b))[known].mean())

  won = {}
  for method, own in scores.items():
    means = [m for other, row in scores.items() if other != method
             for m in meetings(own, row)]
    won[method] = float(np.mean(means)) if means else np.nan
  return won


class _Contest:
  """The methods that are still in, what they have scored, and the budget."""

  def __init__(self, classifier, cases, multi_label, passes):
    self._classifier, self._multi_label = classifier, multi_label
    self._early, self._late = (cases.pick(i) for i in halves(cases))
    self._passes, self.spent = passes, 0
    self._bar = Progress(passes, "passes", at_most=True)
    self.rows, self._judges, self._scores = {}, {}, {}

  def enter(self, methods):
    """Builds the methods; those without a meaning here are out."""
    predict = method_scores.predictor(self._classifier, self._multi_label)
    for method in dict.fromkeys([REFERENCE, *methods, CENTRE]):
      try:
        self._judges[method] = method_scores.judgement(
            self._classifier, method, self._multi_label, predict)
      except UserError as error:
        why = str(error).removeprefix(f"{method}: ")
        self.rows[method] = {"out": f"not here: {why}"}
        continue
      self.rows[method] = {"forward_passes": method_scores.passes(
          self._classifier, method), "out": ""}
      self._scores[method] = {name: [] for name in CRITERIA}

  def _out(self, method, why):
    self.rows[method]["out"] = why
    del self._judges[method], self._scores[method]

  def _judge(self, method, part, metrics, cost):
    """`{metric: [n]}` of one method; pays for it."""
    found = self._judges[method](part, metrics)["scores"]
    self.spent += cost * len(part.ids)
    self._bar.update(min(int(self.spent), self._passes))
    return {name: np.array(values) for name, values in found.items()}

  def _cost(self, method):
    return self.rows[method]["forward_passes"]

  def _too_dear(self, method, images, cost, what):
    self._out(method, f"{TOO_DEAR}: {what} {images} images takes "
              f"{images * cost} passes, more than its share")

  def check_sanity(self, budget):
    """Puts out what does not depend on the weights."""
    costs = {m: 2 * self._cost(m) for m in self._judges if m != CENTRE}
    most = min(FIRST, len(self._early.ids))
    least = min(LEAST_SANE, most)
    for method, count in shares(budget, costs, dict.fromkeys(costs, most),
                                least).items():
      if count < least:
        self._too_dear(method, least, costs[method], "the sanity check of")
        continue
      alike = float(self._judge(
          method, self._early.part(slice(0, count)), ["random_weights"],
          costs[method])["random_weights"].mean())
      row = self.rows[method]
      row |= {"similarity": alike, "verdict": sanity.verdict(alike)}
      if row["verdict"] == "fails":
        self._out(method, "fails the sanity check")

  def play_rounds(self, kept_back):
    """Halves the methods until one is left; returns it, or None.

    Args:
      kept_back: passes that the final shall have, at least.
    """
    most, number = FIRST, 1
    while self._challengers():
      # The first rounds have the most methods: half of what is left, each.
      budget = self._passes - kept_back - self.spent
      if len(self._challengers()) > 2:
        budget /= 2
      self._play(budget, min(most, len(self._early.ids)), number == 1)
      won = {m: w for m, w in shares_won(self._scores).items()
             if np.isfinite(w)}
      for method, share in won.items():
        self.rows[method]["won"] = share
      left = sorted(self._challengers(), key=lambda m: -won.get(m, 0))
      kept = -(-len(left) // 2)
      for method in left[kept:]:
        self._out(method, f"lost in round {number}")
      if kept == 1:
        return left[0]
      most, number = 2 * most, number + 1
    return None

  def _challengers(self):
    return [m for m in self._judges if m not in (REFERENCE, CENTRE)]

  def _play(self, budget, most, first):
    """One round: every method sees the images that it can pay for."""
    costs = {m: self._cost(m) + SCORED for m in self._judges}
    least = min(LEAST, len(self._early.ids))
    seen = {m: len(self._scores[m]["faithfulness"]) for m in costs}
    new = {m: max(most - seen[m], 0) for m in costs}
    for method, count in shares(budget, costs, new,
                                least if first else 0).items():
      if first and count < least and method not in (REFERENCE, CENTRE):
        self._too_dear(method, least, costs[method], "scoring")
        continue
      if count:
        part = self._early.part(slice(seen[method], seen[method] + count))
        found = self._judge(method, part, METRICS, costs[method])
        for name, of in CRITERIA.items():
          self._scores[method][name] += of(found).tolist()
      self._describe(method)
    if first:
      self._leave_out_copies()

  def _describe(self, method):
    """The means of a method so far, into its row."""
    scores = self._scores[method]
    self.rows[method] |= {"images": len(scores["faithfulness"])} | {
        name: float(np.nanmean(values)) for name, values in scores.items()
        if np.isfinite(values).any()}

  def _leave_out_copies(self):
    """Puts out methods that give the very map of another one here."""
    kept = []
    for method in list(self._judges):
      own = self._scores[method]["faithfulness"]
      for other in kept:
        twin = self._scores[other]["faithfulness"]
        n = min(len(own), len(twin))
        if n >= LEAST and np.allclose(own[:n], twin[:n], atol=1e-6):
          self._out(method, f"the map of {other} by these weights")
          break
      else:
        kept.append(method)

  def play_final(self, winner, samples):
    """The winner against the reference, on images that none has seen.

    Returns:
      "final" and "method" of `hold`.
    """
    known = REFERENCE in self._judges
    reference = REFERENCE if known else CENTRE
    if winner is None:
      return None, REFERENCE if known else None
    costs = {m: self._cost(m) + SCORED for m in {winner, reference, CENTRE}}
    count = int(min(len(self._late.ids),
                    (self._passes - self.spent) // sum(costs.values())))
    part = self._late.part(slice(0, max(count, 1)))
    scores = {}
    for method, cost in costs.items():
      found = self._judge(method, part, METRICS, cost)
      scores[method] = {name: of(found) for name, of in CRITERIA.items()
                        if np.isfinite(of(found)).any()}
    units = len(set(part.groups or part.ids))

    def means(method):
      return lambda i: {name: float(np.nanmean(values[i]))
                        for name, values in scores[method].items()
                        if np.isfinite(values[i]).any()}

    differences = statistics.paired_bootstrap(
        means(winner), means(reference), len(part.ids), samples,
        units=part.groups)
    final = {"method": winner, "reference": reference,
             "images": len(part.ids), "units": units,
             "means": {m: means(m)(np.arange(len(part.ids))) for m in scores},
             "differences": differences}
    low, high = zip(*(row["interval"] for row in differences.values()))
    if units >= LEAST_UNITS and max(low) > 0 and min(high) >= 0:
      return final, winner
    return final, REFERENCE if known else None

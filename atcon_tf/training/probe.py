"""Linear probes of frozen features, also with pseudo-labels of a pool.

    features = probe.unit_length((plain + flipped) / 2)
    fitted = probe.fit(features[labelled], label)
    fitted = probe.fit_ranked(features[labelled], label, features[pool],
                              class_prior)
    logits = fitted.logits(features)                       # [N, classes]

A probe is a logistic regression on frozen features (Alain and Bengio,
arXiv 1610.01644). Features have the length `SCALE`, so that the strength of
the regularisation has the same effect for every network and image size. A
logit then depends on the cosine of an image and a class, as in few-shot
classifiers of normalised features (Chen et al., ICLR 2019, arXiv 1904.04232;
Tian et al., ECCV 2020, arXiv 2003.11539).
"""

import dataclasses

import numpy as np
from scipy import optimize
from scipy import special
from sklearn import linear_model

from atcon_tf.models.feature_norm import LENGTH
from atcon_tf.objectives import rank_labels

SCALE = LENGTH
# The default strength, for 1 to 16 images a class.
C = 0.3
GRID = (0.03, 0.1, 0.3, 1.0)
# The rounds of `fit_ranked`: the share of a class's expected images in the pool
# that are its positives in each round, and the weight of a pseudo-label; a
# label has weight 1.
POSITIVE_SHARES = (0.2, 0.35, 0.5)
POOL_WEIGHT = 0.2


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
  """A linear classifier: `logits = features @ coefficients + bias`.

  Attributes:
    coefficients: `[D, classes]`.
    bias: `[classes]`.
    strength: the C that it was fitted with.
  """

  coefficients: np.ndarray
  bias: np.ndarray
  strength: float = C

  def logits(self, features):
    """Logits `[N, classes]` of features `[N, D]`."""
    return features @ self.coefficients + self.bias


def unit_length(features, scale=SCALE):
  """Each row of `[N, D]` divided by its length, times `scale`.

  A row of zeros remains zeros.
  """
  features = np.asarray(features, np.float64)
  length = np.linalg.norm(features, axis=-1, keepdims=True)
  return scale * features / np.where(length > 0, length, 1)


def fit(features, label, weight=None, strength=C, multi_label=True,
        start=None):
  """Fits a probe by convex optimisation.

  Minimises, over coefficients w and bias b,

      |w|^2 / 2 + strength sum_i weight_i loss_i(w, b)

  for each class, with the binary cross-entropy as loss. If each image has one
  label, it is minimised for all classes at once, with the softmax
  cross-entropy. The bias is not regularised.

  Args:
    features: `[N, D]`, see `unit_length`.
    label: `[N, classes]`, 0 or 1.
    weight: `[N, classes]`, not negative, 0 if the label of a class is unknown.
      If each image has one label, `[N]`, or the mean over the classes counts.
      None: 1 everywhere.
    strength: C of scikit-learn.
    multi_label: whether an image can have several labels.
    start: a `Probe` of the same features that is close to the result, which
      saves time if an image can have several labels; None: the optimisation
      starts at 0.
  Returns:
    a `Probe`. A class whose known labels are all equal has coefficients 0 and
    the bias of that label.
  """
  features, label, weight = _arrays(features, label, weight)
  # The bias takes up the mean. Centred features are better conditioned: the
  # result is the same, in half the iterations.
  mean = features.mean(0)
  features = features - mean
  if start is not None:
    start = Probe(start.coefficients, start.bias + mean @ start.coefficients)
  # A regularised solution lies in the span of the images. With fewer images
  # than features, the fit in the coordinates of this span is exact.
  basis = None
  if len(features) < features.shape[1]:
    basis, triangle = np.linalg.qr(features.T)
    features = triangle.T
    if start is not None:
      start = Probe(basis.T @ start.coefficients, start.bias)
  if multi_label:
    coefficients, bias = _per_class(features, label, weight, strength, start)
  else:
    coefficients, bias = _softmax(features, label, weight, strength)
  if basis is not None:
    coefficients = basis @ coefficients
  return Probe(coefficients, bias - mean @ coefficients, strength)


def _arrays(features, label, weight):
  """The arguments of `fit` as float64 arrays, `weight` as `[N, classes]`."""
  features = np.asarray(features, np.float64)
  label = np.asarray(label, np.float64)
  weight = np.ones_like(label) if weight is None else np.asarray(
      weight, np.float64)
  if weight.ndim == 1:
    weight = np.repeat(weight[:, np.newaxis], label.shape[1], 1)
  return features, label, weight


def _per_class(features, label, weight, strength, start):
  """One binary regression for each class, all minimised together.

  The sum over the classes is minimised by one L-BFGS, because the product of
  the features with the coefficients of all classes costs little more than
  with those of one.
  """
  size, classes = features.shape[1], label.shape[1]
  bias = np.zeros([classes])
  positive, known = (weight * label).sum(0), weight.sum(0)
  fitted = (positive > 0) & (positive < known)
  for c in np.flatnonzero(~fitted):
    bias[c] = _log_odds(positive[c] / known[c] if known[c] else 0)
  label, weight = label[:, fitted], strength * weight[:, fitted]
  sign = 1 - 2 * label

  def objective(flat):
    w, b = np.split(flat.reshape(size + 1, -1), [size])
    logits = features @ w + b
    slope = weight * (special.expit(logits) - label)
    value = (w * w).sum() / 2 + (
        weight * np.logaddexp(0, sign * logits)).sum()
    return value, np.concatenate(
        [features.T @ slope + w, slope.sum(0, keepdims=True)]).ravel()

  coefficients = np.zeros([size, classes])
  if fitted.any():
    begin = np.zeros([size + 1, classes]) if start is None else np.vstack(
        [start.coefficients, start.bias])
    found = optimize.minimize(
        objective, begin[:, fitted].ravel(), jac=True, method="L-BFGS-B",
        options={"gtol": 1e-4, "ftol": 0, "maxiter": 1000, "maxcor": 20})
    found = found.x.reshape(size + 1, -1)
    coefficients[:, fitted], bias[fitted] = found[:-1], found[-1]
  return coefficients, bias


def _softmax(features, label, weight, strength):
  """One multinomial regression of the classes that have an image."""
  classes = label.shape[1]
  coefficients = np.zeros([features.shape[1], classes])
  # A class without an image gets the smallest probability.
  bias = np.full([classes], _log_odds(0))
  weight = weight.mean(1)
  given = (weight > 0) & (label.sum(1) > 0)
  chosen = label.argmax(1)[given]
  known = np.unique(chosen)
  if len(known) < 2:
    bias[known] = 0
    return coefficients, bias
  model = linear_model.LogisticRegression(C=strength, tol=1e-6, max_iter=1000)
  model.fit(features[given], chosen, weight[given])
  if len(known) == 2:  # scikit-learn fits the difference of the two alone
    coefficients[:, known] = model.coef_.T * [-0.5, 0.5]
    bias[known] = model.intercept_ * [-0.5, 0.5]
  else:
    coefficients[:, known], bias[known] = model.coef_.T, model.intercept_
  return coefficients, bias


def _log_odds(p, least=1e-3):
  p = np.clip(p, least, 1 - least)
  return np.log(p) - np.log1p(-p)


def choose_strength(features, label, grid=GRID, folds=5, multi_label=True,
                    seed=0, default=C):
  """The C with the lowest mean log loss in cross-validation.

  Folds are stratified class by class. A class that fewer than two images show,
  or that all images except at most one show, does not count in the mean. If no
  class counts, the function returns `default`. The log loss is the criterion
  because average precision prefers too small a C.

  Args:
    features, label, multi_label: see `fit`.
    grid: the values of C to choose from.
    folds: largest number of folds; no class has fewer images than folds.
    seed: seed of the folds.
    default: the result if no class counts.
  Returns:
    a float.
  """
  features, label, _ = _arrays(features, label, None)
  rare = np.minimum(label.sum(0), (1 - label).sum(0)).astype(int)
  asked = rare >= 2
  if not asked.any():
    return float(default)
  folds = min(folds, rare[asked].min())
  fold = _folds(label, folds, seed, multi_label)
  losses = [_left_out(features, label, fold, folds, strength, multi_label,
                      asked) for strength in grid]
  return float(grid[int(np.argmin(losses))])


def _folds(label, count, seed, multi_label):
  """The fold `[N, classes]` that leaves an image out of a class."""
  rng = np.random.default_rng(seed)
  fold = np.zeros(label.shape, int)
  if not multi_label:  # an image is left out of all classes at once
    order = rng.permutation(len(label))
    order = order[np.argsort(label.argmax(1)[order], kind="stable")]
    fold[order] = (np.arange(len(label)) % count)[:, np.newaxis]
    return fold
  for c in range(label.shape[1]):
    order = rng.permutation(len(label))
    order = order[np.argsort(-label[order, c], kind="stable")]
    fold[order, c] = np.arange(len(label)) % count
  return fold


def _left_out(features, label, fold, folds, strength, multi_label, asked):
  """Mean log loss of images that are left out of the fit."""
  logits = np.zeros(label.shape)
  for k in range(folds):
    fitted = fit(features, label, (fold != k).astype(float), strength,
                 multi_label)
    logits = np.where(fold == k, fitted.logits(features), logits)
  if multi_label:
    return (np.logaddexp(0, logits) - label * logits)[:, asked].mean()
  top = logits.max(1)
  total = top + np.log(np.exp(logits - top[:, np.newaxis]).sum(1))
  losses = total - (label * logits).sum(1)
  return losses[label[:, asked].any(1)].mean()


def fit_ranked(features, label, pool, class_prior, strength=C,
               multi_label=True, shares=POSITIVE_SHARES,
               pool_weight=POOL_WEIGHT):
  """Fits a probe on labels and on pseudo-labels by rank, in rounds.

  This is self-training (Lee, ICML Workshops 2013). The number of a class's
  pseudo-labels follows from its prior and grows in each round (curriculum
  labelling, Cascante-Bonilla et al., AAAI 2021, arXiv 2001.06001).

  Args:
    features, label: of the labelled images, see `fit`.
    pool: `[P, D]`, features of unlabelled images.
    class_prior: `[classes]`, the share of images that shows each class.
    strength, multi_label: see `fit`.
    shares: share of a class's expected images that become its positives, a
      number for each round.
    pool_weight: weight of a pseudo-label; a label has weight 1.
  Returns:
    a `Probe`; if the pool is empty, that of `fit`.
  """
  fitted = fit(features, label, None, strength, multi_label)
  if not len(pool):
    return fitted
  both, known = np.concatenate([features, pool]), np.ones(np.shape(label))
  rule = rank_labels.rank_labels if multi_label else (
      rank_labels.best_rank_labels)
  for share in shares:
    sizes = rank_labels.class_sizes(class_prior, len(pool), share)
    pseudo, weight = rule(fitted.logits(pool), sizes)
    fitted = fit(both, np.concatenate([label, pseudo]),
                 np.concatenate([known, pool_weight * weight]), strength,
                 multi_label, fitted)
  return fitted

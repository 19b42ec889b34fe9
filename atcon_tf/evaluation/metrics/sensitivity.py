"""Does a map change when it should, and only then? Scores of other maps.

    explain: `images [P, H, W, C] -> maps [P, H, W]`, of the pairs' classes.
    images, maps: see `faithfulness`.
"""

import numpy as np

from atcon_tf.evaluation.metrics import sanity


def _noisy(images, radius, samples, seed):
  """Images with uniform noise, one array for each of `samples`.

  The noise is at most `radius` times the range of the images.
  """
  random = np.random.default_rng(seed)
  reach = radius * (images.max() - images.min())
  for _ in range(samples):
    yield images + random.uniform(-reach, reach, images.shape).astype(
        images.dtype)


def _norm(values):
  """The Euclidean norm of each pair's values, `[P]`."""
  values = np.asarray(values, np.float64)
  return np.sqrt(np.square(values).sum(tuple(range(1, values.ndim))))


def _changes(explain, images, maps, radius, samples, seed):
  """`|Phi(x + r) - Phi(x)| / |Phi(x)|` of random r, `[samples, P]`."""
  norm = _norm(maps)
  return np.stack([_norm(explain(noisy) - maps) / np.where(norm > 0, norm, 1)
                   for noisy in _noisy(images, radius, samples, seed)])


def max_sensitivity(explain, images, maps, radius=0.02, samples=4, seed=0):
  """Max-sensitivity (Yeh et al., arXiv 1901.09392): lower is better.

  `max_r |Phi(x + r) - Phi(x)| / |Phi(x)|`, not negative, r uniform in a box
  of `radius` times the range of the images, |.| the Euclidean norm.

  Args:
    explain, images, maps: see the top of this file.
    radius: see above.
    samples: number of random r.
    seed: of r.

  Example:
    >>> sensitivity.max_sensitivity(explain, images, maps)
    array([0., 0.])
  """
  return _changes(explain, images, maps, radius, samples, seed).max(0)


def average_sensitivity(explain, images, maps, radius=0.02, samples=4,
                        seed=0):
  """Average sensitivity (Bhatt et al., arXiv 2005.00631): lower is better.

  The mean over r of what `max_sensitivity` takes the maximum of; it has the
  same arguments.

  Example:
    >>> sensitivity.average_sensitivity(explain, images, maps)
    array([0., 0.])
  """
  return _changes(explain, images, maps, radius, samples, seed).mean(0)


# The smallest relative change of an image, and of a value that is 0.
_LEAST = 1e-6


def relative_input_stability(explain, images, maps, radius=0.02, samples=4,
                             seed=0):
  """Relative input stability (Agarwal et al., arXiv 2203.06877): lower is
  better.

  `max_r |(Phi(x) - Phi(x + r)) / Phi(x)| / max(|r / x|, 1e-6)`, not negative,
  without an upper end: how much more, in percent, the map changes than the
  image. Both divisions are element by element. A divisor of 0 becomes 1e-6,
  as in Quantus, so few dead cells of a map dominate a mean over images; its
  authors show logarithms. The paper keeps the x + r whose prediction is that
  of x; here the class that is explained is the same.

  Args:
    explain, images, maps, radius, samples, seed: see `max_sensitivity`.

  Example:
    >>> sensitivity.relative_input_stability(explain, images, maps)
    array([0., 0.])
  """
  def share(change, of):
    return _norm(change / np.where(of == 0, _LEAST, of))

  maps = np.asarray(maps, np.float64)
  images = np.asarray(images)
  return np.max([share(maps - explain(noisy), maps)
                 / np.maximum(share(noisy - images, images), _LEAST)
                 for noisy in _noisy(images, radius, samples, seed)], 0)


def random_logit(maps, maps_of_other):
  """Random logit (Sixt et al., arXiv 1912.09818): lower is better.

  The structural similarity (`sanity.ssim`), in [-1, 1], of the maps of a
  pair's class and of another class of the same image. 1: the map does not
  depend on the class.

  Args:
    maps: `[P, H, W]`.
    maps_of_other: `[P, H, W]`, of a random other class.

  Example:
    >>> sensitivity.random_logit(maps, maps)
    array([1., 1.])
  """
  return sanity.ssim(maps, maps_of_other)

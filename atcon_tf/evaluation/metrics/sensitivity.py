"""Does a map change when it should, and only then? Scores of other maps.

    explain: `images [P, H, W, C] -> maps [P, H, W]`, of the pairs' classes.
    images, maps: see `faithfulness`.
"""

import numpy as np

from atcon_tf.evaluation.metrics import sanity


def _changes(explain, images, maps, radius, samples, seed):
  """`|Phi(x + r) - Phi(x)| / |Phi(x)|` of random r, `[samples, P]`."""
  random = np.random.default_rng(seed)
  reach = radius * (images.max() - images.min())
  norm = np.sqrt(np.square(maps).sum((1, 2)))
  changes = []
  for _ in range(samples):
    noise = random.uniform(-reach, reach, images.shape).astype(images.dtype)
    change = np.sqrt(np.square(explain(images + noise) - maps).sum((1, 2)))
    changes.append(change / np.where(norm > 0, norm, 1))
  return np.stack(changes)


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

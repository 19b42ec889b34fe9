"""The tool that compares variants of the ranked probe."""

import numpy as np

from atcon_tf.training import probe
from tools import probe_variants


def _features(count, rng):
  """Images of two independent classes, each along an axis of its own."""
  label = (rng.uniform(size=[count, 2]) < .5).astype(np.float32)
  features = rng.normal(size=[count, 6])
  features[:, :2] += 3 * label
  return probe.unit_length(features), label


def test_every_variant_is_scored_on_validation_images():
  rng = np.random.default_rng(0)
  train, val = _features(80, rng), _features(60, rng)
  lines = []
  found = probe_variants.compare(train, val, [2], [100, 101], ["a", "b"],
                                 lambda line, flush: lines.append(line))
  assert set(found) == set(probe_variants.VARIANTS)
  assert all(60 < score <= 100 for scores in found.values()
             for score in scores[2])
  assert lines[-1] == "2 images a class, draw 101"
  rows = probe_variants.table(found).splitlines()
  assert len(rows) == 2 + len(found) and "(" not in rows[2] and "±" in rows[3]


def test_propagated_values_solve_the_linear_system():
  """(I - alpha S) Z = Y, and S has an eigenvalue of 1, its largest."""
  features, label = _features(40, np.random.default_rng(1))
  graph = probe_variants.neighbour_graph(features, count=5)
  np.testing.assert_allclose(graph.toarray(), graph.toarray().T)
  assert abs(np.linalg.eigvalsh(graph.toarray()).max() - 1) < 1e-6
  found = probe_variants.spread(graph, label, 0.8)
  np.testing.assert_allclose(found - 0.8 * graph @ found, label, atol=1e-3)

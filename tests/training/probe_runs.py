"""Small runs that begin as probes, and their features by other means."""

import numpy as np
from sklearn import linear_model
import tensorflow as tf

from atcon_tf.training import one_run
from atcon_tf.training import probe
from atcon_tf.training.run_state import RunState
from tests.tiny_runs import tiny

# An objective without steps has none of the settings of steps.
NO_STEPS = dict(steps=0, eval_every=10, checkpoint_every=10, batch_size=8)
SELF_TRAINING = dict(objective="self_training", start="ranked_probe",
                     unlabeled_batch_size=4)


def config_of(objective="supervised", **changes):
  none = NO_STEPS if objective in ("probe", "ranked_probe") else {}
  return tiny(objective=objective, **{
      **none, "summary_images": 0, "bootstrap": 0, **changes})


def begun(config, folder, state=None):
  """A `Training` whose head has begun; `state` is its `RunState`."""
  prepared = one_run.prepare(config, folder / "splits.json")
  prepared.begin(state or RunState())
  return prepared


def pooled(classifier, pixels):
  """The mean over each map of each image."""
  return classifier.features(classifier.normalize(tf.constant(
      pixels))).numpy().mean((1, 2), np.float64)


def unit_length(features):
  return 10 * features / np.linalg.norm(features, axis=1, keepdims=True)


def unit_of_views(classifier, pixels):
  """Of an image and its mirror image, each of length 10 before the mean."""
  return unit_length(sum(unit_length(pooled(classifier, view))
                         for view in (pixels, pixels[:, :, ::-1])))


def by_sklearn(features, label, others, strength=.3):
  """Probabilities of others by one regression for each class."""
  return np.stack([
      linear_model.LogisticRegression(C=strength, tol=1e-8, max_iter=10000)
      .fit(features, y).predict_proba(others)[:, 1] for y in label.T], 1)


def part_of(data, part):
  records = data.records[part]
  return data.images.batch(records), np.stack([r.label for r in records])


def head_of(prepared):
  return [v.numpy() for v in prepared.classifier.head_variables]


def noisy_task(count, size, classes=3, seed=0):
  """Features of length 10 and labels that depend on them."""
  rng = np.random.default_rng(seed)
  features = probe.unit_length(rng.normal(size=[count, size]))
  noise = rng.normal(size=[count, classes])
  label = features @ rng.normal(size=[size, classes]) / 5 + noise > 0
  return features, label.astype(float)

"""Variants of the ranked probe, compared on validation images.

    python -m tools.probe_variants --page=docs/evidence.md \
      --dataset=voc --data_dir=VOCdevkit --image_size=225

The other flags are those of `train`. The features of all training and
validation images are computed once; a variant is then a few convex fits. The
script fits each variant at each of --draws (seeds of the few-shot split) and
--few (images a class), and puts a table of the mean validation mAP, and of its
difference to the ranked probe as it is, with the standard deviation over the
draws, between the marks `<!-- probe variants -->` of the page. No test image
is read.

Label propagation (Zhou et al., NeurIPS 2003; Iscen et al., CVPR 2019,
arXiv 1904.04717) is one of the variants: the rankings of the pool are then
those of Z = (I - alpha S)^-1 Y with S = D^-1/2 W D^-1/2, W the cosines of the
15 nearest neighbours to the third power, and Y the labels, beside them either
0 or the probabilities of the last probe.
"""

import functools

from absl import flags
import numpy as np
from scipy import sparse
from scipy import special
from scipy.sparse import linalg
from sklearn import metrics
from sklearn import neighbors

import atcon_tf as at
from atcon_tf.config import cli
from atcon_tf.config import config_flags
from atcon_tf.config import files
from atcon_tf.data import image_store
from atcon_tf.data import pipeline
from atcon_tf.data import splits
from atcon_tf.objectives import rank_labels
from atcon_tf.runs import run_classifier
from atcon_tf.training import head_start
from atcon_tf.training import probe


def spread(graph, values, alpha):
  """`(I - alpha S)^-1 Y`, column by column, by conjugate gradients."""
  system = sparse.identity(graph.shape[0]) - alpha * graph
  return np.stack([linalg.cg(system, column, rtol=1e-4)[0]
                   for column in values.T], 1)


def neighbour_graph(features, count=15):
  """The normalised graph S of the nearest neighbours by cosine."""
  found = neighbors.NearestNeighbors(
      n_neighbors=count + 1, metric="cosine").fit(features)
  distance, index = found.kneighbors(features)
  weight = np.maximum(1 - distance[:, 1:], 0).ravel()**3
  rows = np.repeat(np.arange(len(features)), count)
  graph = sparse.csr_matrix((weight, (rows, index[:, 1:].ravel())),
                            shape=2 * [len(features)])
  graph = graph + graph.T
  root = sparse.diags(1 / np.sqrt(np.asarray(graph.sum(1)).ravel()))
  return root @ graph @ root


def propagated(own, label, pool, prior, alpha=0.8, guesses=True):
  """The ranked probe whose rankings are those of label propagation."""
  features = np.concatenate([own, pool])
  graph, fitted = neighbour_graph(features), probe.fit(own, label)
  for share in probe.POSITIVE_SHARES:
    rest = special.expit(fitted.logits(pool)) if guesses else np.zeros(
        [len(pool), label.shape[1]])
    known = label if guesses else label / np.maximum(label.sum(0), 1)
    scores = spread(graph, np.concatenate([known, rest]), alpha)[len(own):]
    sizes = rank_labels.class_sizes(prior, len(pool), share)
    pseudo, weight = rank_labels.rank_labels(scores, sizes)
    fitted = probe.fit(
        features, np.concatenate([label, pseudo]),
        np.concatenate([np.ones_like(label), probe.POOL_WEIGHT * weight]),
        start=fitted)
  return fitted


def _ranked(**settings):
  return functools.partial(probe.fit_ranked, **settings)


MARKS = ("<!-- probe variants -->", "<!-- /probe variants -->")
VARIANTS = {
    "ranked probe": _ranked(),
    "probe, without the pool": lambda own, label, *_: probe.fit(own, label),
    "pseudo-labels weigh 0.1": _ranked(pool_weight=0.1),
    "pseudo-labels weigh 0.4": _ranked(pool_weight=0.4),
    "five rounds, to a half": _ranked(shares=(0.1, 0.2, 0.3, 0.4, 0.5)),
    "five rounds, to 0.8": _ranked(shares=(0.2, 0.35, 0.5, 0.65, 0.8)),
    "C 0.1": _ranked(strength=0.1),
    "C 1": _ranked(strength=1.0),
    "labels propagated, alpha 0.8": functools.partial(
        propagated, guesses=False),
    "labels propagated, alpha 0.95": functools.partial(
        propagated, guesses=False, alpha=0.95),
    "probabilities propagated, alpha 0.8": propagated,
    "probabilities propagated, alpha 0.95": functools.partial(
        propagated, alpha=0.95),
}


def compare(train, val, few, draws, names, say=print):
  """`{variant: {shots: list of validation mAP in percent}}`.

  Args:
    train, val: pairs of features `[N, D]` of length `probe.SCALE` and labels
      `[N, classes]`.
    few: numbers of labelled images a class.
    draws: seeds of the few-shot split.
    names: of the classes.
    say: is called with a line after each draw.
  """
  found = {name: {shots: [] for shots in few} for name in VARIANTS}
  for shots in few:
    for seed in draws:
      chosen = np.zeros(len(train[1]), bool)
      chosen[splits.draw(train[1], shots, seed, names)] = True
      parts = (train[0][chosen], train[1][chosen], train[0][~chosen])
      for name, variant in VARIANTS.items():
        logits = variant(*parts, val[1].mean(0)).logits(val[0])
        found[name][shots].append(100 * metrics.average_precision_score(
            val[1], logits, average="macro"))
      say(f"{shots} images a class, draw {seed}", flush=True)
  return found


def table(found):
  """The Markdown table of `compare`."""
  few = list(next(iter(found.values())))
  base = found["ranked probe"]
  rows = ["| validation mAP | " + " | ".join(map(str, few)) + " |",
          "|---" * (1 + len(few)) + "|"]
  for name, scores in found.items():
    cells = []
    for shots in few:
      mean = np.mean(scores[shots])
      gain = np.subtract(scores[shots], base[shots])
      cells.append(f"{mean:.1f}" if scores is base else
                   f"{mean:.1f} ({gain.mean():+.1f} ± {gain.std(ddof=1):.1f})")
    rows.append(f"| {name} | " + " | ".join(cells) + " |")
  return "\n".join(rows) + "\n"


def main(argv):
  """Fits the variants and prints their table."""
  del argv
  values = flags.FLAGS
  config = config_flags.from_flags()
  data = at.data.load(config)
  classifier = run_classifier.build_classifier(
      config, len(data.class_names), data.multi_label)
  read = head_start.Features(classifier, config.probe_views,
                             pipeline.evaluation_size(config.eval_batch_size),
                             config.feature_cache)
  pairs = []
  for part in ("train", "val"):
    records = data.splits[part]
    images = image_store.Images(records, config.image_size, progress=True)
    features = read(images, records)
    pairs.append((features * read.scale(features),
                  np.stack([r.label for r in records])))
  found = compare(*pairs, [int(n) for n in values.few],
                  [int(n) for n in values.draws], data.class_names)
  text = table(found)
  print(text)
  if values.page:
    files.between(values.page, MARKS, text)
    print(values.page)


def define_flags():
  """The flags of this tool, and those of `train`."""
  config_flags.define_flags()
  flags.DEFINE_string("page", "", "put the table between the marks of this "
                      "Markdown file")
  flags.DEFINE_list("few", ["1", "2", "4", "8", "16"],
                    "numbers of labelled images a class")
  flags.DEFINE_list("draws", ["100", "101", "102", "103"],
                    "seeds of the few-shot split; never those of a study")


if __name__ == "__main__":
  cli.run(main, define_flags)

"""Features of a frozen network, kept in a folder from run to run.

    features = feature_cache.read(folder, network, images, records, compute)

Runs that begin from the same pretrained weights read the same features: those
of other seeds and shots, of other objectives, of a study. A file holds the
features of one network, an entry for each image. Its name is a digest of the
weights, an image's name is a digest of its pixels; so no entry can be stale.
"""

import hashlib
import pathlib
import zipfile

import numpy as np

from atcon_tf.config import files

_DIGEST = 16


def digest(*arrays):
  """A digest of arrays and of texts, as a string of hexadecimal digits."""
  total = hashlib.blake2b(digest_size=_DIGEST)
  for one in arrays:
    total.update(one.encode() if isinstance(one, str)
                 else np.ascontiguousarray(one).data)
  return total.hexdigest()


def read(folder, network, images, records, compute):
  """Features of records, from the folder's file where it has them.

  Features that the file lacks are computed and added to it.

  Args:
    folder: of the files; it need not exist.
    network: str, the same for all calls whose features of an image are equal.
    images: `image_store.Images` that holds the records.
    records: list of N `Record`.
    compute: function of a list of records, which returns their features,
      `[n, D]`.
  Returns:
    `[N, D]`, of the type that `compute` returns.
  """
  path = pathlib.Path(folder) / f"{network}.npz"
  known = _load(path)
  keys = [digest(images.pixels[row])
          for row in images.rows([r.id for r in records])]
  missing = [i for i, key in enumerate(keys) if key not in known]
  if missing:
    known.update(zip((keys[i] for i in missing),
                     compute([records[i] for i in missing])))
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as part, open(part, "wb") as file:
      np.savez(file, keys=np.array(list(known)),
               features=np.stack(list(known.values())))
  return np.stack([known[key] for key in keys])


def _load(path):
  """`{digest of an image: its features}`; a damaged file holds none."""
  try:
    with np.load(path, allow_pickle=False) as file:
      return dict(zip(file["keys"].tolist(), file["features"]))
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return {}

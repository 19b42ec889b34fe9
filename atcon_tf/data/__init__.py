"""Reads data sets, draws the labelled images, and makes batches.

A source (a file of `sources/`) reads one layout of files and returns a
`Dataset`: class names, whether an image can show several classes, and the
records of "train", "val" and "test". With `unlabeled_dir` any data set also
has the part "unlabeled": images without labels, whose `label` is 0.
`shard_writer` stores a data set as one network sees it, and the source
`prepared` gives the same records back.

A `Record` is `id, image, label, boxes, box_label, mask`. Boxes are
`x_min, y_min, x_max, y_max` in units of the image's width and height. `image`
is a path or a function, so that pixels are read only when they are used.

A data set with `frames` holds clips: the function of a record gives T frames,
`[T, height, width, 3]`. The frames of a clip are framed, resized and augmented
alike. A recording is a video file or a folder of frames; a clip is a part of
one, and its moments are seconds of the recording's time stamps. Clips of one
recording are in one group.

A batch is a dict: "image" `[B, S, S, 3]` in [0, 1] (`[B, T, S, S, 3]` of
clips), "label" `[B, classes]`, and the columns that the objective asks for. A
"mask" `[B, S, S, classes]` is cropped and flipped with its image.

Batch k of a stream is a function of (seed, stream, k), augmentation included.
So a resumed run sees the batches that an uninterrupted run sees, and two
objectives with the same seed see the same labelled batches.

Data are binary if there are two classes and one label an image; the second
class is the positive one. Only binary data have a ROC curve, sensitivity at
`false_alarm_rates`, and `batch_positive_share`, which gives every labelled
batch exactly its share of positives.
"""

from atcon_tf.data import image_check
from atcon_tf.data import labelling
from atcon_tf.data import pictures
from atcon_tf.data import recorded_clip
from atcon_tf.data import shard_writer
from atcon_tf.data.sources import binary_masks
from atcon_tf.data.record import Dataset
from atcon_tf.data.record import Record
from atcon_tf.data.registry import load

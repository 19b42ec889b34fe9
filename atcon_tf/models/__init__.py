"""A Keras network, cut open where its maps are.

A `Classifier` is a set of Keras models over shared layers:

- `normalize`: images in [0, 1] -> normalised images;
- `network`: normalised images -> the feature maps of `cam_layers` and the
  logits, layer by layer, as the model's file holds it;
- `maps`: the same function with frozen batch normalisation folded into the
  convolutions; this one is computed;
- `folded`: normalised images -> logits, folded wherever the maps are taken;
- `features` and `head`: `maps`, cut in two at the last feature map;
- `model`: images in [0, 1] -> logits;
- `stored`: `model` without folding. Weights files are those of `stored`, so
  that a file does not depend on where the maps are taken.

Masks and input gradients are in normalised space, as in the paper's code.
The dtype is the model's: float64 in exact tests.

**A user's model** is functional or Sequential. Its graph is run again over
its own layers: the variables are shared and the model is not changed. A final
softmax or sigmoid is left out (`endings.py`). The head is kept if it has as
many outputs as the data have classes, or one for the second of two classes,
whose logit z becomes the logits -z/2 and z/2; otherwise a new one replaces it.
`input_range` says what pixels the model expects; `preprocessing.py` finds it
in a graph that begins with its own preprocessing. Layers in half precision
run in float32; `half_precision.py` makes a classifier over the same variables
whose convolutions are in half precision, for training. What was found is a sentence in `Classifier.notes`, which a
command prints once.

**Grey images.** `build` and `load` make classifiers of RGB images in [0, 1];
`normalize` gives a network with one channel their luminance. `wrap` leaves
images as the model expects them (`Classifier.image_shape`).

**Clips.** With `frames` a classifier takes `[B, T, H, W, 3]`. A network of
clips (`residual_3d.py`) has maps `[B, t, h, w, K]`. A network of images runs
over the frames as one batch between two layers (`frames_model.py`): its own
layers give `[B T, h, w, K]`, which `Classifier.per_clip` groups, and the mean
over all cells of all frames goes to the head. `Classifier.extent` is the size
of a map at full size, `(H, W)` or `(T, H, W)`; code that sums over it names
its axes "all but the first".

**Guided ReLU.** One forward pass serves the plain and the guided gradient;
the rule is chosen when the gradient is taken. The gates are constants in a
second derivative. ReLU6 keeps its upper gate.

**Geometry.** Keras pads a stride-2 layer on one side only if the input has an
even size. A cell of the map then lies half a cell away from where a naive
resize draws it. `Classifier.geometry` holds the place of each cell, and every
map that is compared with a box or drawn over a picture is resized by it.
`geometry.resize` is two matrix products, because `tf.image.resize` has no
second derivative.

**Transformers.** A layer that holds attention layers is run part by part, if
it shows all of them. Before each `keras.layers.MultiHeadAttention` the tokens
pass over their grid of patches, a map of the image (`token_grid.py`).

**The bias of a new head** starts at the class prior. With a zero bias and
features that are never negative, a few-shot head pushes its weights negative,
and its Grad-CAM comes out inverted.

`keras.models.clone_model` returns tensors that are cut off from the model's
inputs, and copies the weights unless it is given a `clone_function`. So
`graph.py` walks the graph itself and shares every layer.
"""

from atcon_tf.models.build import build
from atcon_tf.models.build import load
from atcon_tf.models.build import wrap
from atcon_tf.models.classifier import Classifier

"""Which pixels speak for a class.

    from atcon_tf import attribution
    heat = attribution.explain(model, images, "grad_cam")   # [B, h, w]

`forward_pass.forward(classifier, images)` runs the network once and returns a
`Pass`. A method is a function `fn(pass_, class_index, **options) ->
[B, h, w]`: raw, batched, and a function of the pass, so that several maps
share one forward pass. The row of a method in `registry.py` holds all facts
about it.

A method takes one gradient of the summed scores of the batch. That gradient
holds the gradient of each image only because batch normalisation is frozen:
no image then influences another one's score.

Grad-CAM differentiates the head alone, not the backbone. Of a head of global
average pooling and one dense layer the gradient is known in closed form
(`models/pooled_head.py`), and none is taken.

Maps of clips are `[B, t, h, w]`. Standardising, masks, similarities and
scales to [0, 1] are over the whole volume. Superpixels, rollouts of attention
and trained heads are of images alone and refuse clips by name.

The guided methods refuse a network without ReLU. They also refuse a network
whose guided gradient equals its plain one on a random image: a forward pass
inside its own `tf.function` traces its backward pass by the plain rule, and
no error says so.

Methods of attention read the scores of every attention layer that a
transformer's graph shows (`attention_scores.py`). The tokens lie on a grid of
patches, after those of a class and of registers (`models/token_grid.py`).

LRP and DeepLIFT hand the logit, or its difference from a baseline's, down
through the network by a rule for each kind of layer (`propagation.py`). Their
maps are signed sums over the colours, so that a map adds up to what it
explains. A network with a layer that has no rule is refused, naming the
layer. Their rules hold factors constant, so no loss is trained through them.

On a CPU, compiled (XLA) attribution gives the same maps more slowly; on a GPU
it takes long to compile. So `xla="auto"` compiles Grad-CAM of very many images
on a GPU, and nothing else. The consistency of an image is never compiled.

Where the raw guided map G is tiny, as it is in small networks,
`sigmoid(8 (G - ...))` is 0.5 everywhere: a mask that masks nothing.
`mask_scale="std"` divides G by its standard deviation first. Training logs
the mask's mean and standard deviation, which show the two cases apart.
"""

from atcon_tf.attribution import maps
from atcon_tf.attribution.api import build
from atcon_tf.attribution.api import explain
from atcon_tf.attribution.registry import METHODS
from atcon_tf.models.classifier import enlarge

"""The folder of a run: its files, its data, its classifier.

The folder of a run (`run_folder.py` lists its files) belongs to one set of
settings:

- A file is written whole or not at all, and result.json is written last.
- A folder with other settings is refused, and the refusal names them.
- A finished run is kept unless the user gives `overwrite`; then the old run
  is deleted when the new one writes its first checkpoint.
- No command deletes or overwrites other files in that folder.
- The folder is whole: the file of a user's model is copied into it when the
  run begins, and every command builds the classifier from the copy, whatever
  becomes of the file. To continue a run whose file has changed is refused.
- config.json and flags.txt hold paths as the user gave them. What is shown
  to others (result.json, TensorBoard, report, exported model) holds the last
  name of an absolute path only; the commands in the report name the run's
  folder as it was given.

result.json has `config`, `versions`, `commit`, `command`, `model_sha256` (of
a user's model), `data` (images of each part), `steps` (supervised,
consistency; best, the update of the kept weights; objective_from, if the
objective's own loss begins later), `seconds` (of training and
scoring, once the images are read and the model is built), `peak_gib` (largest
memory of the process), `thresholds`, `skipped_images`, `dead_maps` (test images whose
Grad-CAM is constant), `val`, `test`, `history` (a row for each validation;
that of the kept weights has `kept`, that of a head that was fitted again
`refit`), `operating_point` of two classes, and `head` if the run trained one
(its layers, size, losses and faithfulness). `val` and `test` hold numbers by
name, `per_class`, `ci90`
(90 % intervals over the images, or their groups), with one label an image
`confusion` and, for two classes, `roc`, `operating_point` and
`without_alarm`. A score that the data do not allow is absent.

A run is judged by images that did not train it. `warm_start` is refused if the
validation or test images of the run trained those weights, with or without
labels. If `evaluate --data_dir` finds the run's own images, it uses the run's
own split of them.
"""

from atcon_tf.runs import picture_labels
from atcon_tf.runs import provenance
from atcon_tf.runs import recording_labels
from atcon_tf.runs import trusted_method
from atcon_tf.runs.nearest_images import NearestImages
from atcon_tf.runs.run import Run
from atcon_tf.runs.run import config_of
from atcon_tf.runs.run import cut_of
from atcon_tf.runs.run import load
from atcon_tf.runs.run import load_classifier
from atcon_tf.runs.run import read_result
from atcon_tf.runs.run import resize_of
from atcon_tf.runs.run_data import load_part

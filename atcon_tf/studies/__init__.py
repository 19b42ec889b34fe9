"""Many runs, one answer."""

from atcon_tf.studies.study_grid import read_grid
from atcon_tf.studies.study import Study

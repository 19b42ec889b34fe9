"""Many runs, one answer.

A study is a grid in a JSON file: arms (sets of flags), shots and seeds. The
seed of a run is also the seed of its split, so that two arms are compared
pair by pair. Rows go into one JSON file as the runs finish; tables and
figures are made from that file alone. A row that was made with other flags
than the grid now has is refused.

The module is called `study_grid`, not `grid`, because the files of this room
call a grid `grid`.
"""

from atcon_tf.studies import learning_rate_range
from atcon_tf.studies import ray_engine
from atcon_tf.studies import shot_sweep
from atcon_tf.studies import study_grid
from atcon_tf.studies import study_tables
from atcon_tf.studies.study_grid import read_grid
from atcon_tf.studies.study import Study

"""What a person looks at: figures, tables, pages.

The room computes no score: it shows what `evaluation` and `runs` give it.
matplotlib draws every figure without a screen, and no figure is drawn inside
a compiled function.
"""

from atcon_tf.reports import check_sheet
from atcon_tf.reports import example_files
from atcon_tf.reports import explained_files
from atcon_tf.reports import explained_recordings
from atcon_tf.reports import explainer
from atcon_tf.reports.figures import canvas
from atcon_tf.reports import kept_weights
from atcon_tf.reports import leaderboard_page
from atcon_tf.reports import map_tables
from atcon_tf.reports import moving_pictures
from atcon_tf.reports import predicted_labels
from atcon_tf.reports import recording_events
from atcon_tf.reports import tables
from atcon_tf.reports import tournament_page
from atcon_tf.reports import two_classes
from atcon_tf.reports.compare_runs import compare
from atcon_tf.reports.run_page import report

"""What a person looks at: tables, figures, pages."""

from atcon_tf.reports.compare_runs import compare
from atcon_tf.reports.run_page import report

"""The command that writes the page of a run."""

from atcon_tf import report


def test_a_comparison_does_not_replace_the_page_of_the_run():
  assert report.page_name("") == "run_page.html"
  assert report.page_name("W/baseline/") == "run_page_and_baseline.html"

"""Runs the tests of one file under Bazel: `py_test` starts this script."""

import sys

import pytest

sys.exit(pytest.main(sys.argv[1:]))

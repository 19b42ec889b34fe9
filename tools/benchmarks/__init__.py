"""What `tools/benchmark.py` measures, one idea a file.

A row is `{"name", "ms": median, "low", "high": quartiles, "ratio", "of",
"peak_gib"}`: milliseconds an image, and the median over the rounds of this
time over that of the row `of`, taken in the same round.
"""

"""The choice of the fixed images that a run shows and scores."""


def spread(records, count):
  """At most `count` records, spread evenly over the list.

  The first records of a list may all be of one class, so they would not do.

  Args:
    records: list of `Record`.
    count: number of records to choose.
  Returns:
    list of `min(count, len(records))` records, in their order.
  """
  count = min(count, len(records))
  return [records[i * len(records) // count] for i in range(count)]

"""The figures of the server that Prometheus reads."""

import contextlib
import time
import types

import prometheus_client

from atcon_tf.serving.server.served_model import Refused


class Metrics:
  """Counts and times of requests, and the process's own figures."""

  def __init__(self, signatures):
    """Starts at zero.

    Args:
      signatures: names of the model's signatures, the labels of a request.
    """
    self.known = frozenset(signatures)
    self.registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=self.registry)
    self.requests = prometheus_client.Counter(
        "serve_requests", "requests by outcome",
        ["protocol", "signature", "status"], registry=self.registry)
    self.seconds = prometheus_client.Histogram(
        "serve_seconds", "time to the answer", ["protocol", "signature"],
        registry=self.registry)
    self.at_work = prometheus_client.Gauge(
        "serve_at_work", "requests waiting or at work",
        registry=self.registry)

  @contextlib.contextmanager
  def observe(self, protocol):
    """Counts and times the block; a `Refused` counts by its status.

    Yields an object whose `signature` the block sets. A signature that the
    model does not have counts as "other": clients cannot add labels.
    """
    seen, status = types.SimpleNamespace(signature=""), 500
    started = time.perf_counter()
    with self.at_work.track_inprogress():
      try:
        yield seen
        status = 200
      except Refused as error:
        status = error.status
        raise
      finally:
        signature = seen.signature if seen.signature in self.known else "other"
        self.requests.labels(protocol, signature, status).inc()
        self.seconds.labels(protocol, signature).observe(
            time.perf_counter() - started)

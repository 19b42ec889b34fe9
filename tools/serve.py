"""Serves an exported model: `python tools/serve.py --model=DIR`.

TensorFlow Serving's own protocols, REST (--rest_port) and gRPC
(--grpc_port), so that a client written for it works unchanged; a demo page
at /, /healthz, and Prometheus's figures at /metrics. Needs the packages of
the extra `serve` (pip install atcon_tf[serve]).
"""

import contextlib
import pathlib
import signal
import socket
import sys
import time
import types

from absl import flags

# Started as a script, Python looks for imports beside it, not above it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

# pylint: disable=wrong-import-position
try:
  import prometheus_client
  import uvicorn

  from tools import serve_grpc
  from tools import serve_rest
except ImportError as missing:
  print(f"error: {missing.name} is not installed: pip install "
        "atcon_tf[serve]", file=sys.stderr)
  sys.exit(2)

from atcon_tf import cli
from atcon_tf.config import UserError
from tools import served_model
from tools.served_model import Refused


class Metrics:
  """What Prometheus reads."""

  def __init__(self, signatures):
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
    """Counts and times what happens inside; a `Refused` by its status.

    Yields an object whose `signature` is to be set. A name that a client
    made up is not counted as one: labels stay few.
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


def serve(model, host, rest_port, grpc_port, timeout, max_bytes):
  """Serves until SIGTERM or Ctrl-C; requests at work are answered first."""
  metrics = Metrics(model.inputs)
  remote, grpc_port = serve_grpc.make_server(
      model, f"{host}:{grpc_port}", timeout, max_bytes, metrics.observe)

  def stop():
    remote.stop(timeout).wait()
    model.close()

  # uvicorn passes on, at the end, the signal that stopped it.
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit(0))
  patient = serve_rest.PatientOnly
  patient.seconds = min(patient.seconds, timeout)
  config = uvicorn.Config(
      serve_rest.Rest(model, metrics, timeout, max_bytes).app(stop), host,
      rest_port,
      http=patient, ws="none", log_level="warning", timeout_keep_alive=5,
      timeout_graceful_shutdown=int(timeout))
  try:  # whoever reads the line below may connect
    listening = socket.create_server(
        (host, rest_port), backlog=config.backlog,
        family=socket.AF_INET6 if ":" in host else socket.AF_INET)
  except OSError as error:
    raise UserError(f"--rest_port={rest_port}: cannot listen there on {host}: "
                    f"{error.strerror}") from error
  remote.start()
  print(f"{model.name} version {model.version}: http://{host}:"
        f"{listening.getsockname()[1]}/  gRPC {host}:{grpc_port}", flush=True)
  uvicorn.Server(config).run([listening])


def main(argv):
  """Parses the flags and serves."""
  del argv
  values = flags.FLAGS
  model = served_model.ServedModel(
      values.model, values.name, values.workers, values.waiting,
      values.max_batch, values.max_pixels)
  serve(model, values.host, values.rest_port, values.grpc_port,
        values.timeout, values.max_bytes)


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_string("model", "W/served", "folder of the model's versions")
  flags.DEFINE_string("name", "", "of the model; default: the folder's name")
  flags.DEFINE_string("host", "127.0.0.1", "address to listen on")
  flags.DEFINE_integer("rest_port", 8501, "of REST and the page; 0: any", 0,
                       65535)
  flags.DEFINE_integer("grpc_port", 8500, "of gRPC; 0: any", 0, 65535)
  flags.DEFINE_integer("workers", 2, "requests at work at once", 1)
  flags.DEFINE_integer("waiting", 64, "requests that may wait; more get 503",
                       0)
  flags.DEFINE_integer("max_batch", 64, "images in a request", 1)
  flags.DEFINE_integer("max_bytes", 32 << 20, "bytes of a request", 1)
  # What PIL itself refuses is not to be allowed.
  flags.DEFINE_integer("max_pixels", 100_000_000, "pixels of a request's "
                       "pictures together", 1, 170_000_000)
  flags.DEFINE_float("timeout", 30.0, "seconds a request may take", 0.1)


if __name__ == "__main__":
  cli.run(main, define_flags)

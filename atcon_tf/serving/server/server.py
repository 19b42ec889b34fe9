"""The server: REST and gRPC for one model, until a signal stops it."""

import signal
import socket
import sys

import uvicorn

from atcon_tf.config import UserError
from atcon_tf.serving.server import access
from atcon_tf.serving.server import grpc_api
from atcon_tf.serving.server import prometheus_metrics
from atcon_tf.serving.server import rest_api

# Addresses that only this machine reaches.
_OWN = ("127.0.0.1", "localhost", "::1")


def serve(model, host, rest_port, grpc_port, timeout, max_bytes, key="",
          ssl_certfile="", ssl_keyfile=""):
  """Serves until SIGTERM or Ctrl-C, and then answers the requests at work.

  Args:
    model: a `ServedModel`.
    host: address to listen at.
    rest_port, grpc_port: 0: any free port.
    timeout: seconds that a request may take.
    max_bytes: of a request.
    key: that requests must have, see `access`; "": none is needed.
    ssl_certfile, ssl_keyfile: paths of the certificate and its key for TLS;
      "": without TLS.
  Raises:
    UserError: the server cannot listen at one of the ports, or the
      certificate does not fit.
  """
  tls = access.read_certificate(ssl_certfile, ssl_keyfile)
  if host not in _OWN and not (key and tls):
    print(f"note: --host={host} lets others in; without both --api_key_file "
          "and TLS put a proxy in front of it (docs/security.md)",
          file=sys.stderr)
  metrics = prometheus_metrics.Metrics(model.inputs)
  remote, grpc_port = grpc_api.make_server(
      model, f"{host}:{grpc_port}", timeout, max_bytes, metrics.observe, key,
      tls)

  def stop():
    remote.stop(timeout).wait()
    model.close()

  # uvicorn raises the signal that stopped it again when it ends.
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: sys.exit(0))
  patient = rest_api.PatientOnly
  patient.seconds = min(patient.seconds, timeout)
  app = rest_api.Rest(model, metrics, timeout, max_bytes).app(stop)
  config = uvicorn.Config(
      access.KeyOnly(app, key) if key else app, host, rest_port,
      ssl_certfile=ssl_certfile or None, ssl_keyfile=ssl_keyfile or None,
      http=patient, ws="none", log_level="warning", timeout_keep_alive=5,
      timeout_graceful_shutdown=int(timeout))
  try:  # before the line below is printed, so that its reader can connect
    listening = socket.create_server(
        (host, rest_port), backlog=config.backlog,
        family=socket.AF_INET6 if ":" in host else socket.AF_INET)
  except OSError as error:
    raise UserError("rest_port", rest_port, f"cannot listen there on {host}: "
                    f"{error.strerror}") from error
  remote.start()
  print(f"{model.name} version {model.version}: http{'s' * bool(tls)}://{host}:"
        f"{listening.getsockname()[1]}/  gRPC {host}:{grpc_port}", flush=True)
  uvicorn.Server(config).run([listening])

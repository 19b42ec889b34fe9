"""Serves an exported model: `python tools/serve.py --model=DIR`.

TensorFlow Serving's own protocols, REST (--rest_port) and gRPC
(--grpc_port), so that a client written for it works unchanged; a demo page
at /, /healthz, and Prometheus's figures at /metrics. Needs the packages of
the extra `serve` (pip install atcon_tf[serve]).
"""

import asyncio
import contextlib
import pathlib
import signal
import sys
import time
import types

import prometheus_client
import uvicorn
from absl import flags
from google.protobuf import json_format
from starlette import applications
from starlette import responses
from starlette import routing
from uvicorn.protocols.http import h11_impl

# Started as a script, Python looks for imports beside it, not above it.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from atcon_tf import cli  # pylint: disable=wrong-import-position
from tools import serve_grpc
from tools import serve_json
from tools import served_model
from tools.served_model import Refused

_PAGE = pathlib.Path(__file__).with_name("demo.html")
# The page draws what it made itself and talks to this server alone.
_PAGE_HEADERS = {"Content-Security-Policy": (
    "default-src 'none'; script-src 'unsafe-inline'; style-src "
    "'unsafe-inline'; img-src blob: data:; connect-src 'self'")}


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


class Rest:
  """The HTTP side of a `ServedModel`."""

  def __init__(self, model, metrics, timeout, max_bytes):
    self.model, self.metrics = model, metrics
    self.timeout, self.max_bytes = timeout, max_bytes

  def app(self, on_stop=lambda: None):
    """The application; `on_stop` is called when it ends."""
    get = lambda path, endpoint: routing.Route(path, endpoint)
    route = [
        get("/", self.page), get("/model.json", self.describe),
        get("/healthz", self.health), get("/metrics", self.figures),
        get("/monitoring/prometheus/metrics", self.figures)]
    for base in ("/v1/models/{name}",
                 "/v1/models/{name}/versions/{version:int}"):
      route += [
          routing.Route(base + ":predict", self.predict, methods=["POST"]),
          get(base + "/metadata", self.signatures), get(base, self.status)]

    @contextlib.asynccontextmanager
    async def lifespan(app):
      del app
      yield
      await asyncio.to_thread(on_stop)

    return applications.Starlette(
        routes=route, lifespan=lifespan,
        exception_handlers={Refused: _refused, 404: _error, 405: _error,
                            500: _error})

  def _check_target(self, request):
    self.model.check_target(request.path_params["name"],
                            request.path_params.get("version"))

  async def predict(self, request):
    """POST :predict."""
    with self.metrics.observe("rest") as seen:
      # The body first: who is refused while still sending sees a reset.
      body = await self._body(request)
      self._check_target(request)

      def work():
        signature, inputs, rows = serve_json.parse(body, self.model)
        seen.signature = signature
        return serve_json.render(self.model.predict(signature, inputs), rows)

      future = asyncio.wrap_future(self.model.submit(work))
      try:
        answer = await asyncio.wait_for(future, self.timeout)
      except asyncio.TimeoutError as error:
        raise Refused(504, f"no answer within {self.timeout} s") from error
    return responses.Response(answer, media_type="application/json")

  async def _body(self, request):
    """The body, of limited size and within limited time."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > self.max_bytes:
      raise Refused(413, f"a body of {declared} bytes: at most "
                    f"{self.max_bytes} are taken")
    parts, size = [], 0
    try:
      async with asyncio.timeout(self.timeout):
        async for part in request.stream():
          parts.append(part)
          size += len(part)
          if size > self.max_bytes:
            raise Refused(413, f"the body is larger than {self.max_bytes} "
                          "bytes")
    except TimeoutError as error:
      raise Refused(408, f"the body did not come within {self.timeout} s"
                    ) from error
    return b"".join(parts)

  async def status(self, request):
    """GET of a model: which version is there."""
    self._check_target(request)
    return responses.JSONResponse({"model_version_status": [{
        "version": str(self.model.version), "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""}}]})

  async def signatures(self, request):
    """GET /metadata: the signatures."""
    self._check_target(request)
    return responses.JSONResponse({
        "model_spec": {"name": self.model.name, "signature_name": "",
                       "version": str(self.model.version)},
        "metadata": {"signature_def": {"signature_def": {
            name: json_format.MessageToDict(
                definition, preserving_proto_field_name=True)
            for name, definition in self.model.signature_defs.items()}}}})

  async def describe(self, request):
    """What the demo page wants to know."""
    del request
    return responses.JSONResponse({
        "name": self.model.name, "version": self.model.version,
        **self.model.metadata})

  async def page(self, request):
    """The demo page."""
    del request
    return responses.HTMLResponse(_PAGE.read_text(), headers=_PAGE_HEADERS)

  async def health(self, request):
    """Alive and loaded."""
    del request
    return responses.JSONResponse({"status": "ok"})

  async def figures(self, request):
    """Prometheus's text."""
    del request
    return responses.Response(
        prometheus_client.generate_latest(self.metrics.registry),
        media_type=prometheus_client.CONTENT_TYPE_LATEST)


async def _refused(request, error):
  del request
  close = {"Connection": "close"} if error.status in (408, 413) else {}
  return responses.JSONResponse({"error": error.message}, error.status,
                                headers=close)


async def _error(request, error):
  del request
  status = getattr(error, "status_code", 500)
  message = getattr(error, "detail", "internal error")
  return responses.JSONResponse({"error": message}, status)


class PatientOnly(h11_impl.H11Protocol):
  """HTTP that closes on a client whose request line or headers do not come.

  uvicorn limits the time between requests, not that within one.
  """

  seconds = 10.0

  def connection_made(self, transport):
    super().connection_made(transport)
    self._timer = self.loop.call_later(self.seconds, self._give_up)

  def data_received(self, data):
    super().data_received(data)
    if not self._idle():
      self._timer.cancel()

  def on_response_complete(self):
    super().on_response_complete()
    self._timer.cancel()
    if self._idle():
      self._timer = self.loop.call_later(self.seconds, self._give_up)

  def connection_lost(self, exc):
    self._timer.cancel()
    super().connection_lost(exc)

  def _idle(self):
    return self.cycle is None or self.cycle.response_complete

  def _give_up(self):
    if self._idle() and not self.transport.is_closing():
      self.transport.write(b"HTTP/1.1 408 Request Timeout\r\n"
                           b"Connection: close\r\nContent-Length: 0\r\n\r\n")
      self.transport.close()


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
  PatientOnly.seconds = min(PatientOnly.seconds, timeout)
  config = uvicorn.Config(
      Rest(model, metrics, timeout, max_bytes).app(stop), host, rest_port,
      http=PatientOnly, ws="none", log_level="warning", timeout_keep_alive=5,
      timeout_graceful_shutdown=int(timeout))
  socket = config.bind_socket()
  socket.listen(config.backlog)  # whoever reads the line below may connect
  remote.start()
  print(f"{model.name} version {model.version}: http://{host}:"
        f"{socket.getsockname()[1]}/  gRPC {host}:{grpc_port}", flush=True)
  uvicorn.Server(config).run([socket])


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
  flags.DEFINE_integer("rest_port", 8501, "of REST and the page; 0: any", 0)
  flags.DEFINE_integer("grpc_port", 8500, "of gRPC; 0: any", 0)
  flags.DEFINE_integer("workers", 2, "requests at work at once", 1)
  flags.DEFINE_integer("waiting", 64, "requests that may wait; more get 503",
                       0)
  flags.DEFINE_integer("max_batch", 64, "images in a request", 1)
  flags.DEFINE_integer("max_bytes", 32 << 20, "bytes of a request", 1)
  flags.DEFINE_integer("max_pixels", 50_000_000, "pixels of a picture", 1)
  flags.DEFINE_float("timeout", 30.0, "seconds a request may take", 0.1)


if __name__ == "__main__":
  cli.run(main, define_flags)

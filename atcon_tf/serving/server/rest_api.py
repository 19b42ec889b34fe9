"""TensorFlow Serving's REST around a `ServedModel`, as an ASGI application.

    POST /v1/models/NAME[/versions/N]:predict
    GET  /v1/models/NAME[/versions/N][/metadata]
    GET  /healthz, /metrics, and the demo page at /
"""

import asyncio
import contextlib
import pathlib

from google.protobuf import json_format
import prometheus_client
from starlette import applications
from starlette import requests
from starlette import responses
from starlette import routing
from uvicorn.protocols.http import h11_impl

from atcon_tf.serving.server.served_model import Refused
from atcon_tf.serving.server import tf_serving_json

# Bodies in memory at once, in multiples of the largest; more get a 503.
_HELD = 16
_PAGE = pathlib.Path(__file__).with_name("demo.html")
# The page may only show what it was given, and only ask this server.
_PAGE_HEADERS = {"Content-Security-Policy": (
    "default-src 'none'; script-src 'unsafe-inline'; style-src "
    "'unsafe-inline'; img-src blob: data:; media-src blob:; "
    "connect-src 'self'")}


class Rest:
  """The HTTP side of a `ServedModel`."""

  def __init__(self, model, metrics, timeout, max_bytes):
    self.model, self.metrics = model, metrics
    self.timeout, self.max_bytes = timeout, max_bytes
    self._held = 0  # bytes of bodies

  def app(self, on_stop=lambda: None):
    """The ASGI application; it calls `on_stop` when it ends."""
    get = routing.Route
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
      parts = []
      try:
        # The body comes first: a client that is refused while it sends would
        # see a reset connection.
        await self._read(request, parts)
        self._check_target(request)
        answer = await self._answer(b"".join(parts), seen)
      finally:
        self._held -= sum(map(len, parts))
    return responses.Response(answer, media_type="application/json")

  async def _answer(self, body, seen):
    def work():
      signature, inputs, rows = tf_serving_json.parse(body, self.model)
      seen.signature = signature
      return tf_serving_json.render(self.model.predict(signature, inputs), rows)

    future = asyncio.wrap_future(self.model.submit(work))
    try:
      return await asyncio.wait_for(future, self.timeout)
    except asyncio.TimeoutError as error:
      raise Refused(504, f"no answer within {self.timeout} s") from error

  async def _read(self, request, parts):
    """Appends the body to `parts`.

    Raises:
      Refused: the body is too large or too slow, or too many are held.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > self.max_bytes:
      raise Refused(413, f"a body of {declared} bytes: at most "
                    f"{self.max_bytes} are taken")
    size = 0
    try:
      async with asyncio.timeout(self.timeout):
        async for part in request.stream():
          parts.append(part)
          size += len(part)
          self._held += len(part)
          if size > self.max_bytes:
            raise Refused(413, f"the body is larger than {self.max_bytes} "
                          "bytes")
          if self._held > _HELD * self.max_bytes:
            raise Refused(503, "too many bodies at once; try again later")
    except TimeoutError as error:
      raise Refused(408, f"the body did not come within {self.timeout} s"
                    ) from error
    except requests.ClientDisconnect as error:
      raise Refused(400, "the client hung up") from error

  async def status(self, request):
    """GET of a model: the version that is served."""
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
    """Name, version and metadata of the model, for the demo page."""
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
    """The figures in Prometheus's text format."""
    del request
    return responses.Response(
        prometheus_client.generate_latest(self.metrics.registry),
        media_type=prometheus_client.CONTENT_TYPE_LATEST)


async def _refused(request, error):
  del request
  close = {"Connection": "close"} if error.status in (
      408, 413, 503) else {}
  return responses.JSONResponse({"error": error.message}, error.status,
                                headers=close)


async def _error(request, error):
  del request
  status = getattr(error, "status_code", 500)
  message = getattr(error, "detail", "internal error")
  return responses.JSONResponse({"error": message}, status)


class PatientOnly(h11_impl.H11Protocol):
  """HTTP that closes a connection whose request line or headers are late.

  uvicorn limits the time between two requests, but not the time that a client
  takes to send one.

  Attributes:
    seconds: that a client has for the request line and the headers.
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

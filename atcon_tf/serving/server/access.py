"""Who may ask the server: an API key, and TLS.

Both are for a server that others reach. A client sends the key as
`Authorization: Bearer KEY`, in gRPC as metadata of this name. Only /healthz
answers without it.
"""

import hmac
import pathlib
import ssl

import grpc
from starlette import responses

from atcon_tf.config import UserError

_OPEN = ("/healthz",)
_LEAST = 16


def read_key(path):
  """The key in a file; "" without a file.

  A key on the command line would be seen by everybody on the machine.

  Raises:
    UserError: there is no such file, or it holds no key.
  """
  if not path:
    return ""
  try:
    key = pathlib.Path(path).read_text("ascii").strip()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError("api_key_file", path, getattr(error, "strerror", None)
                    or "must hold letters of ASCII") from error
  if len(key) < _LEAST or not key.isprintable() or " " in key:
    raise UserError("api_key_file", path,
                    f"must hold one word of {_LEAST} letters or more; "
                    "`openssl rand -hex 32` makes one")
  return key


def read_certificate(certificate, key):
  """The contents of both files, which belong together; None without them.

  Raises:
    UserError: one of them is missing, or they do not fit.
  """
  if not certificate and not key:
    return None
  if not certificate or not key:
    name = "ssl_keyfile" if certificate else "ssl_certfile"
    raise UserError(name, None, "needed: --ssl_certfile and --ssl_keyfile go "
                    "together")
  contents = []
  for name, path in ("ssl_certfile", certificate), ("ssl_keyfile", key):
    try:
      contents.append(pathlib.Path(path).read_bytes())
    except OSError as error:
      raise UserError(name, path, error.strerror) from error
  try:
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        certificate, key, password="")
  except (ssl.SSLError, ValueError) as error:
    raise UserError("ssl_certfile", certificate,
                    "must be a certificate in PEM, whose key is in "
                    f"--ssl_keyfile={key}, without a password") from error
  return contents


class KeyOnly:
  """ASGI around an application that answers 401 without the key."""

  def __init__(self, app, key):
    self.app, self._wanted = app, f"Bearer {key}".encode()

  async def __call__(self, scope, receive, send):
    given = dict(scope.get("headers", ())).get(b"authorization", b"")
    if scope["type"] != "http" or scope["path"] in _OPEN or (
        hmac.compare_digest(given, self._wanted)):
      return await self.app(scope, receive, send)
    refusal = responses.JSONResponse(
        {"error": "needs the header Authorization: Bearer KEY"}, 401,
        headers={"WWW-Authenticate": "Bearer", "Connection": "close"})
    return await refusal(scope, receive, send)


class KeyInterceptor(grpc.ServerInterceptor):
  """Answers UNAUTHENTICATED to calls without the key."""

  def __init__(self, key):
    self._wanted = f"Bearer {key}".encode()
    self._refusal = grpc.unary_unary_rpc_method_handler(self._refuse)

  def _refuse(self, request, context):
    del request
    context.abort(grpc.StatusCode.UNAUTHENTICATED,
                  "needs the metadata authorization: Bearer KEY")

  def intercept_service(self, continuation, details):
    given = dict(details.invocation_metadata).get("authorization", "")
    given = given if isinstance(given, bytes) else given.encode()
    if hmac.compare_digest(given, self._wanted):
      return continuation(details)
    return self._refusal

"""Serves an exported model over REST and gRPC, with a demo page.

    python -m atcon_tf.serve --model=DIR

Speaks TensorFlow Serving's protocols, REST at --rest_port and gRPC at
--grpc_port, so that a client of TensorFlow Serving works unchanged. The REST
port also has a demo page at /, /healthz, and the figures for Prometheus at
/metrics. Needs the packages of the extra `serve` (pip install
'atcon_tf[serve]').

It listens on this machine alone; before others reach it give it
--api_key_file, --ssl_certfile and --ssl_keyfile, or put a proxy in front of it
(docs/security.md).
"""

from absl import flags

from atcon_tf.config import cli
from atcon_tf.config import path_flags
from atcon_tf.config import quiet
from atcon_tf.config import UserError


def main(argv):
  """Parses the flags and serves."""
  del argv
  values = flags.FLAGS
  try:  # they need the packages of the extra `serve`
    with quiet.loading():
      from atcon_tf.serving.server import access
      from atcon_tf.serving.server import server
      from atcon_tf.serving.server import served_model
  except ImportError as missing:
    raise UserError(f"{missing.name} is not installed: pip install "
                    "'atcon_tf[serve]'") from missing
  key = access.read_key(values.api_key_file)
  access.read_certificate(values.ssl_certfile, values.ssl_keyfile)
  model = served_model.ServedModel(
      values.model, values.name, values.workers, values.waiting,
      values.max_batch, values.max_pixels)
  server.serve(model, values.host, values.rest_port, values.grpc_port,
               values.timeout, values.max_bytes, key, values.ssl_certfile,
               values.ssl_keyfile)


def define_flags():
  """The flags of this command."""
  path_flags.path("model", "W/served", "folder of the model's versions")
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
  path_flags.path("api_key_file", "", "file with a key; then requests need the "
                  "header Authorization: Bearer KEY")
  path_flags.path("ssl_certfile", "", "certificate in PEM, for TLS at both "
                  "ports; needs --ssl_keyfile")
  path_flags.path("ssl_keyfile", "", "private key of that certificate")


def run():
  """The console script."""
  cli.run(main, define_flags)


if __name__ == "__main__":
  run()

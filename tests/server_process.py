"""The reference server in a process of its own, and what is sent to it."""

import base64
import http.client
import io
import json
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import PIL.Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
MAX_BYTES = 4 << 20


class Server:
  """A server process and its two ports."""

  def __init__(self, model, *flags):
    self.process = subprocess.Popen(
        [sys.executable, "-m", "atcon_tf.serve", f"--model={model}",
         "--name=shapes", "--rest_port=0", "--grpc_port=0",
         f"--max_bytes={MAX_BYTES}", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    line = self.process.stdout.readline()
    self.rest, self.grpc = map(int, re.findall(r"127\.0\.0\.1:(\d+)", line))

  def ask(self, method, path, body=None, headers=()):
    """Status and body of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", self.rest,
                                            timeout=60)
    try:
      connection.request(method, path, body, dict(headers))
      reply = connection.getresponse()
      return reply.status, reply.read()
    finally:
      connection.close()

  def predict(self, request, path="/v1/models/shapes:predict"):
    """Status and JSON of a prediction."""
    body = request if isinstance(request, bytes) else json.dumps(request)
    status, reply = self.ask("POST", path, body)
    return status, json.loads(reply)

  def stop(self, how=signal.SIGTERM):
    self.process.send_signal(how)
    return self.process.wait(30)


def some_png(size=(90, 60), seed=0):
  small = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
  buffer = io.BytesIO()
  PIL.Image.fromarray(small).resize(size).save(buffer, "PNG")
  return buffer.getvalue()


def b64(data):
  return {"b64": base64.b64encode(data).decode()}


def some_images(count):
  # Of 64 levels: short as JSON.
  return np.random.default_rng(count).integers(
      64, size=[count, 64, 64, 3]).astype(np.float32) / 64

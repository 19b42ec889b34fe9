"""A server under attack: `python -m tools.attack_server --model=W/served`.

Starts `atcon_tf.serve` on this machine with a copy of a model and attacks it
in several ways, one after the other: see `ATTACKS`. Meanwhile an honest client
sends one picture after the other; right is that each is answered with the same
probabilities, that no attack gets an answer of 5xx but 503, and that memory
and open files do not grow. The table goes into --doc. Clients and server share
the processor.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib

from absl import flags
import numpy as np

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import path_flags
from atcon_tf.config import UserError
from tools import load_server

MARKS = ("<!-- attack_server.py begins -->", "<!-- attack_server.py ends -->")
_PATH = "/v1/models/model:predict"
_HEAD = f"POST {_PATH} HTTP/1.1\r\nHost: x\r\n".encode()
CLIENTS, CROWD, WAITING = 200, 64, 16


def huge_picture(width, height):
  """A PNG of a few bytes whose pixels would fill the memory."""
  def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))
  return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
      ">IIBBBBB", width, height, 8, 2, 0, 0, 0))
          + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def _connect(port):
  return socket.create_connection(("127.0.0.1", port), timeout=30)


def _answer(one):
  """The status that a connection got, "closed" or "nothing"."""
  try:
    return one.recv(12)[9:].decode() or "closed"
  except TimeoutError:
    return "nothing"
  except OSError:
    return "closed"
  finally:
    one.close()


def _post(port, body):
  """Status and body of a prediction."""
  connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
  try:
    connection.request("POST", _PATH, body)
    reply = connection.getresponse()
    return str(reply.status), reply.read()
  finally:
    connection.close()


def slow(port, seconds, count=CLIENTS):
  """Clients that send a byte a second."""
  clients = [_connect(port) for _ in range(count)]
  for i in range(int(seconds)):
    for one in clients:
      with contextlib.suppress(OSError):
        one.send(_HEAD[i:i + 1])
    time.sleep(1)
  return collections.Counter(map(_answer, clients))


def half(port, seconds, count=CLIENTS):
  """Clients that send half of a large body, and wait."""
  del seconds
  clients = [_connect(port) for _ in range(count)]
  for one in clients:
    with contextlib.suppress(OSError):
      one.sendall(_HEAD + b"Content-Length: 4000000\r\n\r\n" + bytes(1 << 20))
  return collections.Counter(map(_answer, clients))


def in_turn(port, seconds, count=10_000):
  """Connections in turn: silent ones, half a line, and a whole request."""
  del seconds
  found = collections.Counter()
  for i in range(count):
    one = _connect(port)
    if i % 3:
      one.sendall((b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
                   b"Connection: close\r\n\r\n")[i % 3 - 1])
    if i % 3 == 2:
      found[_answer(one)] += 1
    else:
      one.close()
      found["left"] += 1
  return found


def bombs(port, seconds):
  """Pictures of 60,000 x 60,000 pixels, 10 GB, in a file of 1 kB."""
  body = load_server.request_body("serve_bytes", huge_picture(60_000, 60_000))
  found, end = collections.Counter(), time.monotonic() + seconds
  while time.monotonic() < end:
    found[_post(port, body)[0]] += 1
  return found


def noise(port, seconds):
  """Random bytes, as a request and as the body of one."""
  draw, found = random.Random(0), collections.Counter()
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    data = draw.randbytes(draw.randint(1, 5000))
    if draw.random() < .5:
      found[_post(port, data)[0]] += 1
    else:
      one = _connect(port)
      with contextlib.suppress(OSError):
        one.sendall(data + b"\r\n\r\n")
        one.shutdown(socket.SHUT_WR)
      found[_answer(one)] += 1
  return found


def crowd(port, seconds, count=CROWD):
  """More clients at once than the server lets wait."""
  body = load_server.request_body("serve_bytes", load_server.picture())
  found, end = collections.Counter(), time.monotonic() + seconds

  def client():
    while time.monotonic() < end:
      found[_post(port, body)[0]] += 1

  threads = [threading.Thread(target=client) for _ in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return found


ATTACKS = {
    "none": lambda port, seconds: time.sleep(seconds),
    f"{CLIENTS} clients that send a byte a second": slow,
    f"{CLIENTS} clients that send 1 of 4 MB and wait": half,
    "10,000 connections in turn: silent, half a line, a request": in_turn,
    "PNG files of 1 kB with 60,000 x 60,000 pixels": bombs,
    "random bytes": noise,
    f"{CROWD} clients at once, room for {WAITING + 2}": crowd}


class Honest(threading.Thread):
  """Sends one picture after the other until `end()`.

  Attributes:
    seconds: list, of each answer.
    status: `collections.Counter` of them.
    answers: set of the probabilities.
  """

  def __init__(self, port):
    super().__init__(daemon=True)
    self.port, self._over = port, threading.Event()
    self.seconds, self.answers = [], set()
    self.status = collections.Counter()
    self.start()

  def run(self):
    body = load_server.request_body("serve_bytes", load_server.picture())
    while not self._over.is_set():
      started = time.perf_counter()
      try:
        status, answer = _post(self.port, body)
      except OSError as error:
        status = type(error).__name__
      self.status[status] += 1
      if status == "200":
        self.seconds.append(time.perf_counter() - started)
        self.answers.add(answer)

  def end(self):
    self._over.set()
    self.join()


def _row(name, attack, process, port, seconds):
  """Attacks a server, and says how it went."""
  honest, found = Honest(port), None
  try:
    found = attack(port, seconds)
  finally:
    honest.end()
  p50, p99 = np.percentile(honest.seconds or [0], [50, 99]) * 1e3
  row = {"attack": name, "answers": dict(sorted((found or {}).items())),
         "honest": dict(honest.status), "p50_ms": round(p50, 1),
         "p99_ms": round(p99, 1), "memory_mib": load_server.memory(port),
         "open_files": len(os.listdir(f"/proc/{process.pid}/fd"))}
  print(json.dumps(row), flush=True)
  wrong = [s for s in row["answers"] if s.startswith("5") and s != "503"]
  allowed = {"200", "503"} if attack is crowd else {"200"}
  if wrong or not set(honest.status) <= allowed or len(honest.answers) != 1:
    raise UserError(f"{name}: answers {row['answers']}, an honest client got "
                    f"{row['honest']}")
  return row, honest.answers


def measure(model, seconds, attacks):
  """Rows of a server with a copy of a model.

  Args:
    model: folder of versions.
    seconds: of each attack.
    attacks: as `ATTACKS`.
  """
  with tempfile.TemporaryDirectory() as folder:
    own = pathlib.Path(shutil.copytree(model, pathlib.Path(folder, "model")))
    process = subprocess.Popen(
        [sys.executable, "-m", "atcon_tf.serve", f"--model={own}",
         "--rest_port=0", "--grpc_port=0", f"--waiting={WAITING}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
      found = re.search(r"http://[^:]+:(\d+)/", process.stdout.readline())
      if not found:
        raise UserError("model", model, "the server did not start")
      port, answers, rows = int(found[1]), set(), []
      crowd(port, min(3, seconds), 8)  # every thread and buffer is made

      def replace(port, seconds):
        del port
        newest = max((p for p in own.iterdir() if p.name.isdecimal()),
                     key=lambda p: int(p.name))
        time.sleep(seconds / 3)
        shutil.copytree(newest, own / ".part")
        (own / ".part").rename(own / str(int(newest.name) + 1))
        time.sleep(seconds / 3)
        shutil.rmtree(newest)
        time.sleep(seconds / 3)

      for name, attack in {**attacks, "a new version appears, the served one "
                           "is deleted": replace, "none, again":
                           ATTACKS["none"]}.items():
        row, more = _row(name, attack, process, port, seconds)
        rows.append(row)
        answers |= more
      if len(answers) > 1:
        raise UserError(f"the answers differ: {answers}")
      return rows
    finally:
      process.kill()
      process.wait()


def table(rows):
  """The rows as a Markdown table."""
  lines = ["| attack | its answers | honest client: answered, p50, p99 ms | "
           "MiB | open files |", "|---|---|---|---|---|"]
  for row in rows:
    told = ", ".join(f"{n} x {s}" for s, n in row["answers"].items())
    refused = row["honest"].get("503")
    lines.append(
        f"| {row['attack']} | {told} | {row['honest'].get('200', 0)}"
        f"{f' and {refused} x 503' if refused else ''}, {row['p50_ms']:.0f}, "
        f"{row['p99_ms']:.0f} | {row['memory_mib']:.0f} | "
        f"{row['open_files']} |")
  return "\n".join(lines)


def main(argv):
  """Attacks, and writes the table."""
  del argv
  values = flags.FLAGS
  text = table(measure(values.model, values.seconds, ATTACKS)) + (
      f"\n\nCommand: `python -m tools.attack_server "
      f"--seconds={values.seconds:g}`.\n")
  print(text)
  if values.doc:
    files.between(values.doc, MARKS, text)


def define_flags():
  """The flags of this tool."""
  path_flags.path("model", "W/served", "folder of the model's versions")
  flags.DEFINE_float("seconds", 10.0, "of an attack", 1)
  flags.DEFINE_string("doc", "", "write the table into this document")


if __name__ == "__main__":
  cli.run(main, define_flags)

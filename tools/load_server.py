"""Measures a server at its limit: `python -m tools.load_server --model=DIR`.

Starts `atcon_tf.serve` on this machine and keeps --clients requests of one
picture each under way for --seconds, over REST: first for `serve_bytes`
(predict), then for `explain_bytes`. Writes requests a second, percentiles of
the time to an answer, errors, and the server's memory before and after, as
JSON. The clients use the same cores as the server, which alone is faster.
"""

import base64
import concurrent.futures
import http.client
import io
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import threading
import time

from absl import flags
import numpy as np
import PIL.Image

from atcon_tf.config import cli
from atcon_tf.config import files
from atcon_tf.config import UserError

SIGNATURES = {"predict": "serve_bytes", "explain": "explain_bytes"}
WARM_UP = 16


def picture(side=375):
  """A JPEG of the size of VOC's."""
  small = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
  buffer = io.BytesIO()
  PIL.Image.fromarray(small).resize((side * 4 // 3, side)).save(
      buffer, "JPEG", quality=90)
  return buffer.getvalue()


def request_body(signature, contents):
  """A request of one picture, as bytes."""
  row = {"image_bytes": {"b64": base64.b64encode(contents).decode()}}
  if signature == "explain_bytes":
    row["class_index"] = -1
  return json.dumps({"signature_name": signature,
                     "instances": [row]}).encode()


def _client(port, path, body, deadline, seconds, errors):
  """Sends one request after the other until the deadline."""
  connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
  while time.monotonic() < deadline:
    started = time.perf_counter()
    try:
      connection.request("POST", path, body)
      reply = connection.getresponse()
      reply.read()
      if reply.status != 200:
        errors.append(str(reply.status))
        continue
      seconds.append(time.perf_counter() - started)
    except OSError as error:
      errors.append(type(error).__name__)
      connection.close()
  connection.close()


def hold(port, path, body, clients, duration):
  """Requests a second, times and errors under a constant load.

  Args:
    port: of the server.
    path: of the requests.
    body: of the requests.
    clients: requests under way at any moment.
    duration: seconds.
  """
  seconds, errors = [], []  # appended to by all threads
  deadline = time.monotonic() + duration
  started = time.perf_counter()
  threads = [threading.Thread(target=_client, args=(
      port, path, body, deadline, seconds, errors)) for _ in range(clients)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  took = time.perf_counter() - started
  if not seconds:
    raise UserError(f"no request was answered: {errors[:1]}")
  p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
  return {"requests": len(seconds), "errors": len(errors),
          "seconds": round(took, 1),
          "requests_a_second": round(len(seconds) / took, 2),
          "p50_ms": round(p50, 1), "p99_ms": round(p99, 1)}


def memory(port):
  """Resident megabytes of the server, from its own metrics."""
  connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
  connection.request("GET", "/metrics")
  text = connection.getresponse().read().decode()
  connection.close()
  value = re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)[1]
  return round(float(value) / 2**20, 1)


def measure(model, clients, duration, workers):
  """Starts a server, loads it, and stops it."""
  process = subprocess.Popen(
      [sys.executable, "-m", "atcon_tf.serve", f"--model={model}",
       "--name=model", "--rest_port=0", "--grpc_port=0",
       f"--workers={workers}", f"--waiting={clients}"],
      stdout=subprocess.PIPE, text=True)
  try:
    line = process.stdout.readline()
    found = re.search(r"http://[^:]+:(\d+)/", line)
    if not found:
      raise UserError("model", model, "the server did not start")
    port, path = int(found[1]), "/v1/models/model:predict"
    result = {}
    for name, signature in SIGNATURES.items():
      body = request_body(signature, picture())
      # Before the first figure, every thread runs and every buffer is made.
      with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _, b=body: _client(
            port, path, b, time.monotonic() + 0.01, [], []), range(WARM_UP)))
      hold(port, path, body, clients, min(5, duration))
      before = memory(port)
      result[name] = {**hold(port, path, body, clients, duration),
                      "memory_before_mib": before,
                      "memory_after_mib": memory(port)}
      print(name, json.dumps(result[name]), flush=True)
    process.send_signal(signal.SIGTERM)
    result["exit_status"] = process.wait(60)
    return result
  finally:
    process.kill()
    process.wait()


MARKS = "<!-- load_test.py begins -->", "<!-- load_test.py ends -->"


def table(figures):
  """The figures as a Markdown table."""
  height, width = figures["image_size"]
  lines = [
      f"{figures['model']} at {height} x {width} pixels, {figures['cores']} "
      f"cores shared by server, load generator and other work (load average "
      f"at the start {figures['load_before']}), {figures['workers']} workers, "
      f"{figures['clients']} clients, one JPEG of 500 x 375 pixels a request:",
      "",
      "| | requests a second | p50 ms | p99 ms | requests | errors | MiB "
      "before | MiB after |", "|---|---|---|---|---|---|---|---|"]
  for name in SIGNATURES:
    row = figures[name]
    lines.append("| `%s` | %s |" % (SIGNATURES[name], " | ".join(
        str(row[key]) for key in (
            "requests_a_second", "p50_ms", "p99_ms", "requests", "errors",
            "memory_before_mib", "memory_after_mib"))))
  return "\n".join([*lines, "", f"Command: `{figures['command']}`."])


def main(argv):
  """Measures and writes the figures."""
  del argv
  values = flags.FLAGS
  if values.doc and not pathlib.Path(values.doc).is_file():
    raise UserError("doc", values.doc, "no such file")
  figures = measure(values.model, values.clients, values.seconds,
                    values.workers)
  versions = [int(p.name) for p in pathlib.Path(values.model).glob("*")
              if p.name.isdecimal()]
  data = json.loads((pathlib.Path(values.model) / str(max(versions))
                     / "assets/metadata.json").read_text())
  figures |= {
      "model": data["config"]["model"], "image_size": data["input"]["size"],
      "clients": values.clients, "workers": values.workers,
      "cores": os.cpu_count(), "load_before": values.load,
      "python": platform.python_version(), "commit": data["exported_by"],
      "command": f"python -m tools.load_server --clients={values.clients} "
                 f"--seconds={values.seconds:g}"}
  if values.out:
    files.write_text(values.out, json.dumps(figures, indent=1) + "\n")
  if values.doc:
    files.between(values.doc, MARKS, f"{table(figures)}\n")
  else:
    print(table(figures))


def define_flags():
  """The flags of this tool."""
  flags.DEFINE_string("model", "W/served", "folder of the model's versions")
  flags.DEFINE_integer("clients", 8, "requests under way at any moment", 1)
  flags.DEFINE_integer("workers", 2, "of the server", 1)
  flags.DEFINE_float("seconds", 60.0, "of each load", 0.1)
  flags.DEFINE_string("load", f"{os.getloadavg()[0]:.1f}", "what else the "
                      "machine does; default: its load average at the start")
  flags.DEFINE_string("out", "", "write the figures to this JSON file")
  flags.DEFINE_string("doc", "", "write them into this Markdown document")


if __name__ == "__main__":
  cli.run(main, define_flags)

"""The devices and processes that take the steps of a run.

    strategy = strategies.make("multi_worker")

A strategy of several processes must be made before TensorFlow's first
operation. Each process then runs the same program; `WorkerGroup` is what they
tell each other.
"""

import json
import os

import tensorflow as tf

from atcon_tf.config import UserError

# The jobs of TF_CONFIG whose tasks train, in the order of their numbers.
JOBS = ("chief", "worker")
# The first of the ports at which Slurm's tasks listen, and how many there are.
_FIRST_PORT, _PORTS = 12000, 20000


def make(name="auto", devices=None):
  """The strategy that a name means.

  Args:
    name: "one": the first GPU, or the CPU if there is none; "mirrored": all
      GPUs of this machine; "auto": "mirrored" with two or more GPUs, else
      "one"; "multi_worker": the processes that TF_CONFIG names, or those of a
      Slurm step. A `tf.distribute.Strategy` is returned as it is.
    devices: TensorFlow's names of devices; None: all GPUs, or the CPU if there
      is no GPU.
  Raises:
    UserError: there are no two GPUs, or no description of the processes.
  """
  if isinstance(name, tf.distribute.Strategy):
    return name
  if name == "multi_worker" and _count_of_workers() > 1:
    return _multi_worker()
  devices = devices or [
      d.name for d in tf.config.list_logical_devices("GPU")] or ["/cpu:0"]
  if name == "mirrored" and len(devices) < 2:
    raise UserError("strategy", name, "needs two GPUs or more on this machine; "
                    f"here is {'a GPU' if 'GPU' in devices[0] else 'none'}")
  if name == "one" or len(devices) == 1:
    return tf.distribute.OneDeviceStrategy(devices[0])
  # CPUs reduce by collectives, whose keys a second strategy in the same process
  # would use again ("shape mismatch in the collective instance").
  cpus = all("cpu" in d.lower() for d in devices)
  return tf.distribute.MirroredStrategy(
      devices, tf.distribute.ReductionToOneDevice() if cpus else None)


def _count_of_workers():
  """The number of processes; a Slurm step is written down as TF_CONFIG."""
  if "TF_CONFIG" not in os.environ and "SLURM_STEP_NODELIST" in os.environ:
    os.environ["TF_CONFIG"] = of_slurm()
  text = os.environ.get("TF_CONFIG", "")
  if not text:
    raise UserError("strategy", "multi_worker",
                    "needs TF_CONFIG in the environment, or to be started by "
                    "srun; see docs/scale.md")
  try:
    given = json.loads(text)
    cluster, task = given["cluster"], given["task"]
    known = (set(cluster) <= set(JOBS)
             and 0 <= int(task["index"]) < len(cluster[task["type"]])
             and all(isinstance(a, str) and ":" in a
                     for job in cluster.values() for a in job))
  except (ValueError, TypeError, KeyError, AttributeError):
    known = False
  if not known:
    raise UserError("strategy", "multi_worker",
                    f"TF_CONFIG is {text[:200]}; must be as "
                    '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
                    '"task": {"type": "worker", "index": 0}}')
  return sum(map(len, cluster.values()))


def of_slurm():
  """The TF_CONFIG of this task of a Slurm step.

  The tasks must be distributed by blocks, as srun does by default.
  """
  # GPUs stay as srun has assigned them: the resolver would fail without any.
  resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
      gpus_per_node=1, gpus_per_task=0, auto_set_gpu=False)
  # `cluster_spec()` sorts the hosts by name, which is not the order of the
  # tasks: node10 comes before node9.
  first = _FIRST_PORT + int(os.environ.get("SLURM_JOB_ID", 0)) % _PORTS
  addresses = [f"{host}:{first + i}"
               for host, tasks in resolver._task_configuration.items()
               for i in range(tasks)]
  return json.dumps({"cluster": {"worker": addresses}, "task": {
      "type": "worker", "index": int(os.environ["SLURM_PROCID"])}})


def _multi_worker():
  """TensorFlow's strategy of several processes."""
  try:
    return tf.distribute.MultiWorkerMirroredStrategy()
  except (tf.errors.OpError, RuntimeError) as error:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError("strategy", "multi_worker",
                    f"the processes do not find each other: {reason}; "
                    f"TF_CONFIG is {os.environ['TF_CONFIG']}") from error

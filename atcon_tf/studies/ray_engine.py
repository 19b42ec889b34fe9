"""The processes of a study as tasks of a Ray cluster.

Ray decides where a process runs and starts it again elsewhere if its machine
is lost. What it makes is decided as without Ray, by the claims in the shared
folder of --out (`claims.py`), so that both kinds of processes can make one
study together.
"""

import os
import pathlib

from atcon_tf.config import UserError


def run(study, workers, keep, cpus=1, gpus=0):
  """Makes all missing runs of a study by tasks of Ray; as `Study.run`.

  The cluster is the one that RAY_ADDRESS names, or that runs on this machine;
  if there is none, Ray is started here until the study ends. All machines need
  the package, the data, and the folders under the same paths.

  Args:
    study: a `Study`.
    workers: tasks; each makes one run at a time.
    keep: whether the folders of finished runs stay.
    cpus: threads of a task, which Ray reserves.
    gpus: GPUs of a task, which Ray reserves; may be a share of one.
  Returns:
    list of the cells that failed.
  Raises:
    UserError: Ray is not installed, or the cluster cannot hold a task.
  """
  ray = _ray()
  todo = study.missing()
  study.check_flags(todo)
  study.check_ready(todo)
  # Nothing about the study leaves the cluster.
  os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
  root = str(pathlib.Path(__file__).parents[2])
  path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
  ray.init(logging_level="error",
           runtime_env={"env_vars": {"PYTHONPATH": path,
                                     "TF_CPP_MIN_LOG_LEVEL": "2"}})
  try:
    have = ray.cluster_resources()
    for name, asked in (("CPU", cpus), ("GPU", gpus)):
      if asked > have.get(name, 0):
        raise UserError(f"run_{name.lower()}s", asked, "the Ray cluster has "
                        f"{have.get(name, 0):g} in all")
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=3,
                      scheduling_strategy="SPREAD")(_share)
    ray.get([task.remote(study.grid, str(study.out.absolute()),
                         str(study.folder.absolute()), study.extra,
                         study.claims.lease, keep, max(1, int(cpus)),
                         os.getcwd())
             for _ in range(min(workers, len(todo)))])
  finally:
    ray.shutdown()
  return study.reload()


def _share(grid, out, folder, extra, lease, keep, threads, place):
  """What a task does: a part of the study, run by run."""
  from atcon_tf.studies import study  # TensorFlow, on the task's machine
  os.chdir(place)  # where paths in the flags start
  study.Study(grid, out, folder, extra, lease).run(1, keep, threads)


def _ray():
  try:
    import ray  # an optional package
  except ImportError:
    raise UserError("engine", "ray", "needs the package ray: pip install "
                    "'.[ray]'") from None
  return ray

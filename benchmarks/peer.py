"""The driver's side of a peer: a process that is stopped while others work."""

import atexit
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent
# Name -> its file in `benchmarks/peers`, and what its environment adds.
PEERS: dict[str, tuple[str, dict[str, str]]] = {
  'dlcore': ('dlcore_fit', {}),
  'dlcore_map': ('dlcore_fit', {}),
  'dlcore_vmap': ('dlcore_fit', {}),
  'limit': ('limit', {}),
  'torch': ('pytorch', {}),
  'torch_active': ('pytorch', {'OMP_WAIT_POLICY': 'active'}),
  'torch_cl': ('pytorch', {}),
  'torch_compile': ('pytorch', {}),
  'torch_pml': ('pytorch', {}),
  'flax': ('flax_loop', {}),
  'keras_jax': ('keras_fit', {'KERAS_BACKEND': 'jax'}),
  'keras_tf': ('keras_fit', {'KERAS_BACKEND': 'tensorflow'}),
}
USUAL = (
  'dlcore,limit,torch,torch_active,torch_cl,torch_pml,flax,keras_jax,keras_tf'
)


def cores() -> int:
  """Counts the cores that this process may use.

  Returns:
    Their number.
  """
  return len(os.sched_getaffinity(0))


def environment(**more: str) -> dict[str, str]:
  """Makes the environment of a process that is measured.

  Args:
    **more: what to add.

  Returns:
    All of it, with the moment of its birth.
  """
  threads = str(cores())
  path = [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
  common = {
    'PYTHONPATH': os.pathsep.join(reversed(path)),
    'OMP_NUM_THREADS': threads,
    'MKL_NUM_THREADS': threads,
    'TF_CPP_MIN_LOG_LEVEL': '3',
    'TF_FORCE_GPU_ALLOW_GROWTH': 'true',
    'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
    'BORN': repr(time.time()),
  }
  return {**os.environ, **common, **more}


class Peer:
  """One process at work; stopped between two questions.

  Attributes:
    name: of the peer.
    versions: of its libraries.
    missing: why it cannot be imported, or ''.
  """

  def __init__(self, name: str, python: str = sys.executable, **more: str):
    """Starts it."""
    module, own = PEERS[name]
    self.name = name
    # Open as long as the process is: `end` closes it.
    self.log = tempfile.TemporaryFile('w+')  # noqa: SIM115
    self.process = subprocess.Popen(
      [python, '-m', 'benchmarks.worker', module, name],
      env=environment(**own, **more),
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self.log,
      text=True,
    )
    # One that is stopped would outlive the driver.
    atexit.register(self.process.kill)
    said = self._hear()
    self.versions = said.get('versions', {})
    self.missing = said.get('missing') or said.get('failed', '')

  def _hear(self) -> dict[str, Any]:
    assert self.process.stdout is not None
    line = self.process.stdout.readline()
    if line:
      return json.loads(line)
    self.process.wait()
    self.log.seek(0)
    last = self.log.read().strip().rpartition('\n')[2]
    return {'failed': f'ended with {self.process.returncode}; {last}'[:200]}

  def ask(self, **words: Any) -> dict[str, Any]:
    """Lets it work until it has answered.

    Args:
      **words: the question.

    Returns:
      The answer.
    """
    assert self.process.stdin is not None
    try:
      self.process.send_signal(signal.SIGCONT)
      self.process.stdin.write(json.dumps(words) + '\n')
      self.process.stdin.flush()
    except BrokenPipeError:
      return self._hear()
    found = self._hear()
    # Threads of its that spin must not disturb the next one.
    self.process.send_signal(signal.SIGSTOP)
    return found

  def end(self) -> None:
    """Ends the process."""
    self.process.kill()
    self.process.wait()
    atexit.unregister(self.process.kill)
    for stream in (self.process.stdin, self.process.stdout, self.log):
      assert stream is not None
      stream.close()

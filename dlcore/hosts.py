"""Several processes, on several hosts or one, that train as one program.

Process 0 leads: it alone reads and writes the folder of the run and prints. All
the others do its computations with it and end as it ends. What it finds, and
whether that failed, it tells through the key-value store of `jax.distributed`.

JAX learns of a process that dies only after a timeout, and then aborts. So
every process holds a connection to process 0 on which nothing is sent until the
end: where it closes early, the others end at once, with one line. Alone in its
process a run passes through all of this unchanged.
"""

import contextlib
import itertools
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from dlcore import errors
from dlcore.config import Run

WAIT = 120  # seconds for all to come
GRACE = 3.0  # seconds for a process to end by itself when another one has
# Seconds after which JAX gives a silent process up: not before we do.
HEARTBEAT = 10**6
DONE = 'done'

# Of this process: the connections to the others, and whether it is ending.
_others: dict[int, socket.socket] = {}
_watchers: list[threading.Thread] = []
_ending = threading.Event()
_told = itertools.count()


def several() -> bool:
  """Tells whether this process is one of several.

  Returns:
    True after `start` with --distributed.
  """
  return bool(_others)


def lead() -> bool:
  """Tells whether this process reads, writes and prints.

  Returns:
    True for process 0, and where there is one alone.
  """
  return not several() or _state().process_id == 0


def told() -> str:
  """Counts the processes, for a person.

  Returns:
    Text such as ' in 2 processes'; '' for one.
  """
  return f' in {_state().num_processes} processes' if several() else ''


def start(run: Run) -> None:
  """Joins the other processes, before JAX has used a device.

  Args:
    run: the flags; without --distributed nothing is done.

  Raises:
    UsageError: where it cannot be told who the others are.
    Lost: where they do not come.
  """
  if not run.distributed:
    return
  known = (run.coordinator, run.num_processes, run.process_id >= 0)
  if any(known) and not all(known):
    raise errors.UsageError(
      '--distributed: give all of --coordinator=HOST:PORT --num_processes=N '
      '--process_id=I, or none where SLURM, Open MPI, Kubernetes or Cloud TPU '
      'tells'
    )
  if all(known):
    _check(run)
  try:
    with _relayed():
      jax.distributed.initialize(
        run.coordinator or None,
        run.num_processes or None,
        run.process_id if all(known) else None,
        cluster_detection_method='deactivate' if all(known) else None,
        initialization_timeout=WAIT,
        heartbeat_timeout_seconds=HEARTBEAT,
        shutdown_timeout_seconds=WAIT,
      )
    if _state().num_processes > 1:
      _tie()
  except ValueError as error:
    raise errors.UsageError(
      f'--distributed: {error} give --coordinator=HOST:PORT --num_processes=N '
      '--process_id=I, or start it by SLURM, Open MPI, Kubernetes or Cloud TPU'
    ) from None
  except (OSError, RuntimeError) as error:
    why = ' '.join(str(error).split())[:160]
    raise errors.Lost(
      f'--distributed: the processes do not come together ({why}); check '
      '--coordinator and --num_processes, and start all of them'
    ) from None
  if not lead():
    sys.stdout = open(os.devnull, 'w')  # noqa: SIM115 (till the process ends)


@contextlib.contextmanager
def _relayed() -> Iterator[None]:
  """Lets JAX reach process 0 through a relay in this process.

  Where it loses process 0 it would abort with C++'s own message; the relay does
  not tell it, so that `_watch` can.
  """
  from jax._src import distributed

  make = distributed._jax.get_distributed_runtime_client

  def _relayed_client(address, number, **options):
    return make(_relay(address) if number else address, number, **options)

  distributed._jax.get_distributed_runtime_client = _relayed_client
  try:
    yield
  finally:
    distributed._jax.get_distributed_runtime_client = make


def _relay(address: str) -> str:
  """Makes an address of this host that leads to another."""
  host, _, port = address.rpartition(':')
  server = socket.create_server(('127.0.0.1', 0))

  def serve():
    while True:
      near, _ = server.accept()
      try:
        far = socket.create_connection((host.strip('[]'), int(port)))
      except OSError:
        near.close()  # JAX tries again
        continue
      for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()

  def pump(source, sink):
    with contextlib.suppress(OSError):
      while more := source.recv(2**16):
        sink.sendall(more)

  threading.Thread(target=serve, daemon=True).start()
  return f'127.0.0.1:{server.getsockname()[1]}'


def _check(run: Run) -> None:
  """Checks the three flags, and waits for the coordinator."""
  if run.process_id >= run.num_processes:
    raise errors.UsageError(
      f'--process_id={run.process_id}: counts from 0, and --num_processes='
      f'{run.num_processes}'
    )
  place = re.fullmatch(r'(.+):(\d{1,5})', run.coordinator)
  if not place or int(place[2]) > 65535:
    raise errors.UsageError(
      f'--coordinator={run.coordinator[:60]}: write it as HOST:PORT, where '
      'process 0 can be reached'
    )
  address = (place[1].strip('[]'), int(place[2]))
  if run.process_id == 0:
    try:
      _listening(address[1]).close()
    except OSError as error:
      raise errors.UsageError(
        f'--coordinator={run.coordinator}: process 0 cannot listen there '
        f'({error.strerror}); give another port'
      ) from None
    return
  # JAX would abort without a word.
  end = time.monotonic() + WAIT
  while True:
    try:
      socket.create_connection(address, timeout=5).close()
      return
    except (OSError, UnicodeError) as error:
      why = getattr(error, 'strerror', None) or str(error)
    if time.monotonic() > end:
      raise errors.Lost(
        f'--coordinator={run.coordinator}: nothing answers there after {WAIT} '
        f's ({why}); start process 0, or mend the address'
      )
    time.sleep(0.2)


def _state() -> Any:
  """What JAX knows of the processes before it has looked for devices."""
  from jax._src import distributed

  return distributed.global_state


def _get(key: str) -> str:
  while True:
    try:
      return _state().client.blocking_key_value_get(key, 60_000)
    except RuntimeError as error:
      if 'DEADLINE_EXCEEDED' not in str(error):
        raise


def _listening(port: int) -> socket.socket:
  dual = socket.has_dualstack_ipv6()
  return socket.create_server(
    ('', port),
    family=socket.AF_INET6 if dual else socket.AF_INET,
    dualstack_ipv6=dual,
  )


def _tie() -> None:
  """Connects every process with process 0, and watches the connections."""
  mine, count = _state().process_id, _state().num_processes
  if mine == 0:
    word = secrets.token_hex(8)
    with _listening(0) as server:
      server.settimeout(WAIT)
      port = server.getsockname()[1]
      _state().client.key_value_set('dlcore/tie', f'{port} {word}')
      while len(_others) < count - 1:
        connection, _ = server.accept()
        connection.settimeout(WAIT)
        first, _, number = connection.recv(64).decode().partition(' ')
        if first == word:  # not of a stranger
          _others[int(number)] = connection
  else:
    host = _state().coordinator_address.rpartition(':')[0].strip('[]')
    place, word = _get('dlcore/tie').split()
    connection = socket.create_connection((host, int(place)), timeout=WAIT)
    connection.sendall(f'{word} {mine}'.encode())
    _others[0] = connection
  for other, connection in _others.items():
    connection.settimeout(None)
    # A host that loses its power closes nothing.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (('KEEPIDLE', 5), ('KEEPINTVL', 2), ('KEEPCNT', 5)):
      if hasattr(socket, f'TCP_{option}'):
        number = getattr(socket, f'TCP_{option}')
        connection.setsockopt(socket.IPPROTO_TCP, number, value)
    thread = threading.Thread(
      target=_watch, args=(other, connection), daemon=True
    )
    _watchers.append(thread)
    thread.start()


def _watch(other: int, connection: socket.socket) -> None:
  """Waits until another process ends, and ends this one unless it was done."""
  word = b''
  with contextlib.suppress(OSError):
    while more := connection.recv(4096):
      word += more
  said = word.decode(errors='replace').strip()
  if said == DONE or _ending.wait(GRACE if said else 0):
    return
  said = said or (
    f'process {other} has ended; the same command goes on from the last '
    'checkpoint'
  )
  _tell(said)
  os.write(2, f'launch.py: {said}\n'.encode())
  os._exit(errors.Lost.status)


def _tell(word: str) -> None:
  for connection in _others.values():
    with contextlib.suppress(OSError):
      connection.sendall(word.encode())
      connection.shutdown(socket.SHUT_WR)


def end(status: int) -> None:
  """Leaves the other processes, if there are any; does not return then.

  Args:
    status: of the process.
  """
  if not several():
    return
  _ending.set()
  word = f'process {_state().process_id} has ended with status {status}, and '
  _tell(word + 'says why' if status else DONE)
  if lead():
    # JAX aborts where its service, which is here, goes first.
    for thread in _watchers:
      thread.join(2 * GRACE if status else None)
  # Not by JAX's own way out, which aborts where it takes long.
  sys.stdout.flush()
  os._exit(status)


def failed() -> None:
  """Ends this process after an error that is a bug, unless another one died.

  A computation fails where a process that shares it dies: word of that is given
  time to come.
  """
  if several():
    time.sleep(GRACE)
    traceback.print_exc()
    end(1)


def led(function: Callable[[], Any]) -> Any:
  """Has process 0 do what is done once, and all of them end if that fails.

  Args:
    function: () -> what JSON can hold.

  Returns:
    What it gave to process 0, on every process.

  Raises:
    Ended: what it raised there, on every process.
  """
  if not several():
    return function()
  key = f'dlcore/{next(_told)}'
  if lead():
    try:
      found, error = function(), None
    except errors.Ended as wrong:
      found, error = None, wrong
    kind = [str(error), error.status] if error else None
    _state().client.key_value_set(key, json.dumps([found, kind]))
    if error:
      raise error
    return found
  found, kind = json.loads(_get(key))
  if kind:
    error = errors.Ended(kind[0])
    error.status = kind[1]
    raise error
  return found


def same(value: Any) -> Any:
  """Gives what process 0 has to all of them, as what its clock says.

  Args:
    value: what JSON can hold.

  Returns:
    That of process 0.
  """
  return led(lambda: value)


@contextlib.contextmanager
def leading(context: Callable[[], Any]) -> Iterator[None]:
  """Enters a context on process 0, all of them ending if that fails.

  Args:
    context: makes it.

  Yields:
    Nothing.

  Raises:
    Ended: what entering it raised there, on every process.
  """
  with contextlib.ExitStack() as held:

    def enter():
      held.enter_context(context())

    led(enter)
    yield


def agree(values: dict[str, Any]) -> None:
  """Refuses to go on where the processes were not started alike.

  Args:
    values: what has to be the same, by name.

  Raises:
    UsageError: on every process, naming the first thing that differs.
  """
  if not several():
    return
  mine = {name: str(value) for name, value in values.items()}
  key = f'dlcore/{next(_told)}'
  _state().client.key_value_set(
    f'{key}/{_state().process_id}', json.dumps(mine)
  )
  first = json.loads(_get(f'{key}/0'))
  for other in range(1, _state().num_processes):
    theirs = json.loads(_get(f'{key}/{other}'))
    for name in {**first, **theirs}:
      here, there = first.get(name), theirs.get(name)
      if here != there:
        raise errors.UsageError(
          f'--distributed: {name} is {there} on process {other} and {here} on '
          'process 0; start all of them alike'
        )


def meet() -> None:
  """Waits until every process is here, as those that compile slower."""
  if several():
    _state().client.wait_at_barrier(f'dlcore/{next(_told)}', 24 * 3_600_000)


def local(tree: Any) -> Any:
  """Copies arrays to the host, from all the processes that hold a part.

  Args:
    tree: arrays on the devices.

  Returns:
    The same in NumPy arrays, on every process.
  """
  if not several():
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  return multihost_utils.process_allgather(tree, tiled=True)


def shared(tree: Any, template: Any) -> Any:
  """Gives the arrays of process 0 to all of them.

  Args:
    tree: arrays on the host of process 0; not looked at elsewhere.
    template: their shapes and dtypes.

  Returns:
    The arrays, in NumPy, on every process.
  """
  if not several():
    return tree
  from jax.experimental import multihost_utils

  # As bytes: they go round as a sum, which knows no negative zero.
  plain = lambda a: np.ascontiguousarray(a).reshape(-1).view(np.uint8)
  empty = lambda s: np.zeros(s.shape, s.dtype)
  held = tree if lead() else jax.tree.map(empty, template)
  found = multihost_utils.broadcast_one_to_all(jax.tree.map(plain, held))
  return jax.tree.map(
    lambda a, s: np.asarray(a).view(s.dtype).reshape(s.shape), found, template
  )

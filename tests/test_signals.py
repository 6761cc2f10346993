"""Signals where no drill looks: in the runtime of many processes, and off it.

Alone in its process a run is signalled by the drill `signals`.
"""

import os
import signal
import socket
import threading
import time

from drills import process
from drills.signals import lingering

from dlcore import signals

ARGV = '--experiment=classification --network=linear --epochs=400'


def distributed():
  """Starts JAX's runtime of many processes, of which there is one."""
  import jax

  with socket.socket() as free:
    free.bind(('localhost', 0))
    address = f'localhost:{free.getsockname()[1]}'
  jax.distributed.initialize(address, num_processes=1, process_id=0)


def test_a_preemption_is_polled_under_distributed(tmp_path):
  place, log = tmp_path / 'run', tmp_path / 'log'
  running = process.start(
    [*ARGV.split(), f'--workdir={place}'],
    distributed,
    process.undrawn,
    lingering,
    log=log,
  )
  while running.process.is_alive() and not (place / 'metrics.jsonl').exists():
    time.sleep(0.01)
  os.kill(running.process.pid, signal.SIGTERM)
  answer = process.finish(running)
  assert answer.status == 143, answer
  assert 'launch.py: SIGTERM: saved after' in answer.err
  assert len(process.steps(place)) == 1


def test_no_handler_is_set_off_the_main_thread():
  before = signal.getsignal(signal.SIGTERM)

  def look():
    with signals.kept() as asked:
      found.extend([asked(), signal.getsignal(signal.SIGTERM) is before])

  found = []
  thread = threading.Thread(target=look)
  thread.start()
  thread.join()
  assert found == [0, True]


def test_handlers_are_given_back():
  before = [signal.getsignal(number) for number in signals.NUMBERS]
  with signals.watched(), signals.kept() as asked:
    assert asked() == 0
    os.kill(os.getpid(), signal.SIGUSR1)
    while not asked():
      time.sleep(0.001)
    assert asked() == signal.SIGUSR1
  assert before == [signal.getsignal(number) for number in signals.NUMBERS]

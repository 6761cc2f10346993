"""Signals where no drill looks: in the runtime of many processes, and off it.

Alone in its process a run is signalled by the drill `signals`.
"""

import os
import signal
import subprocess
import sys
import threading
import time

from drills import process

from dlcore import signals

ARGV = '--experiment=classification --network=linear --epochs=400'


# A process of its own: the runtime has to come before all else of JAX.
DISTRIBUTED = """
import socket
import jax
with socket.socket() as free:
  free.bind(('localhost', 0))
  address = f'localhost:{free.getsockname()[1]}'
jax.distributed.initialize(address, num_processes=1, process_id=0)
from drills import process, signals
process.undrawn()
signals.lingering()
import launch
launch.program()
"""


def test_a_preemption_is_polled_under_distributed(tmp_path):
  place = tmp_path / 'run'
  running = subprocess.Popen(
    [sys.executable, '-c', DISTRIBUTED, *ARGV.split(), f'--workdir={place}'],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  while running.poll() is None and not (place / 'metrics.jsonl').exists():
    time.sleep(0.01)
  running.send_signal(signal.SIGTERM)
  _, err = running.communicate(timeout=100)
  assert running.returncode == 143, err
  assert 'launch.py: SIGTERM: saved after' in err
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

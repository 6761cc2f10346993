"""Compiled programs are kept, found again, and never a reason to fail."""

import os
import pathlib
import subprocess
import sys

import pytest

from dlcore import compilation, errors

ROOT = pathlib.Path(__file__).parent.parent
ARGV = '--experiment=regression --dataset=line --epochs=1'
SCRIPT = """
import sys, jax, launch
hits = []
jax.monitoring.register_event_listener(
  lambda event, **_: hits.append(event) if 'cache_hit' in event else None
)
status = launch.main(['launch.py', *sys.argv[1:]])
print('hits', len(hits))
sys.exit(status)
"""


def launched(home, place, *flags):
  """Launches in a new process; returns how many programs it found."""
  environment = {**os.environ, 'XDG_CACHE_HOME': str(home)}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  # Matplotlib complains of such a home; this is not about that.
  environment['MPLCONFIGDIR'] = str(place)
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT, *ARGV.split(), f'--workdir={place}', *flags],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0 and not done.stderr, done.stderr
  return int(done.stdout.split()[-1])


def test_a_second_launch_finds_its_programs(tmp_path):
  home = tmp_path / 'home'
  assert launched(home, tmp_path / 'first') < 20
  kept = [*(home / 'dlcore' / 'programs').glob('*-cache')]
  assert len(kept) > 20
  assert launched(home, tmp_path / 'second') >= len(kept)
  # What a killed process or a full disk leaves behind.
  for path in kept:
    path.write_bytes(path.read_bytes()[:20])
  assert launched(home, tmp_path / 'third') == 0


def test_nothing_is_kept_where_that_is_not_asked_for(tmp_path):
  launched(tmp_path / 'home', tmp_path / 'run', '--nocache')
  assert not (tmp_path / 'home' / 'dlcore').exists()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_a_read_only_home_is_no_reason_to_fail(tmp_path):
  (tmp_path / 'home').mkdir(mode=0o500)
  launched(tmp_path / 'home', tmp_path / 'run')


def test_a_home_that_is_a_file_is_no_reason_to_fail(tmp_path):
  (tmp_path / 'home').write_text('')
  assert launched(tmp_path / 'home', tmp_path / 'run') == 0


def test_the_oldest_programs_go_first(tmp_path, monkeypatch):
  for age, name in enumerate(('new', 'old', 'older')):
    (tmp_path / name).write_bytes(bytes(10))
    os.utime(tmp_path / name, (100 - age, 100 - age))
  monkeypatch.setattr(compilation, 'LARGEST', 20)
  compilation._forget(tmp_path)
  assert {path.name for path in tmp_path.iterdir()} == {'new', 'old'}


def test_a_trace_is_written_for_both_kinds_of_viewers(tmp_path, command):
  trace = tmp_path / 'trace'
  command(*ARGV.split(), f'--workdir={tmp_path}/run', f'--profile={trace}')
  names = {path.name for path in trace.rglob('*')}
  assert 'perfetto_trace.json.gz' in names
  assert any(name.endswith('.xplane.pb') for name in names)


def test_without_a_trace_nobody_asks_for_a_folder(monkeypatch):
  monkeypatch.setattr(os, 'access', lambda path, mode: False)
  compilation.traceable('')
  with pytest.raises(errors.UsageError, match='--profile=trace'):
    compilation.traceable('trace')


def test_a_trace_that_cannot_be_written_is_told(tmp_path, command):
  (tmp_path / 'file').write_text('')
  answer = command(
    *ARGV.split(), f'--workdir={tmp_path}/run', f'--profile={tmp_path}/file'
  )
  assert answer.status == 2
  assert answer.err.count('\n') == 1 and '--profile' in answer.err

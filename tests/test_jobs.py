"""The batch jobs: checked as scripts, by schemas, and by what they start.

Nothing is submitted: the commands of the batch systems are replaced by ones
that write down how they were called.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from typing import NamedTuple

import pytest
import yaml

from dlcore import flags, signals

ROOT = pathlib.Path(__file__).parent.parent
JOBS = ROOT / 'jobs'
SCRIPTS = sorted(path.name for path in JOBS.glob('*.sh'))
SLURM = [name for name in SCRIPTS if name.startswith('slurm')]
README = (JOBS / 'README.md').read_text(encoding='utf-8')
CLAIM, JOBSET = yaml.safe_load_all((JOBS / 'jobset.yaml').read_text())
SKY = yaml.safe_load((JOBS / 'sky.yaml').read_text())
(REPLICATED,) = JOBSET['spec']['replicatedJobs']
JOB = REPLICATED['template']['spec']
(CONTAINER,) = JOB['template']['spec']['containers']
DOCKERFILE = [
  line.split(maxsplit=1)
  for line in (JOBS / 'Dockerfile').read_text().replace('\\\n', '').split('\n')
  if line and not line.startswith('#')
]

RECORD = """#!/bin/bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n'; } >>"$RECORD"
"""
# What the stand-ins do besides.
STANDINS = {
  'srun': 'while [[ $1 == -* ]]; do shift; done; exec "$@"',
  'python': 'exit "${STATUS:-0}"',
  'gcloud': """
for argument; do
  case $argument in
    --metadata-from-file=*) cp "${argument##*=}" "$STARTUP" ;;
    list | ssh)
      IFS= read -r answer <"$ANSWERS" && sed -i 1d "$ANSWERS"
      [[ $answer != lost ]] || exit 1
      echo "$answer"
      ;;
  esac
done""",
  **dict.fromkeys(
    ['python3', 'scontrol', 'docker', 'apt-get', 'mkdir', 'mount'], ''
  ),
  # Ends a script that waits for more than there is to come.
  'sleep': '[[ -s $ANSWERS ]]',
}


class Done(NamedTuple):
  """How a script ended, and every command it called."""

  status: int
  calls: list[list[str]]
  err: str

  def of(self, name):
    return [call[1:] for call in self.calls if call[0] == name]

  def launches(self):
    """What launch.py was given, each time."""
    calls = self.of('python')
    assert all(call[0] == 'launch.py' for call in calls), calls
    return [call[1:] for call in calls]


@pytest.fixture
def dry(tmp_path):
  """The function (*command, **environment) -> Done."""
  folder, record = tmp_path / 'bin', tmp_path / 'record'
  folder.mkdir()
  for name, then in STANDINS.items():
    (folder / name).write_text(RECORD + then + '\n')
    (folder / name).chmod(0o755)

  def run(*command, **environment):
    record.write_bytes(b'')
    done = subprocess.run(
      command,
      env={'PATH': f'{folder}:/usr/bin:/bin', 'HOME': str(tmp_path)}
      | {'RECORD': str(record), **environment},
      cwd=ROOT,
      capture_output=True,
      text=True,
      timeout=300,
    )
    calls = [
      call.decode().split('\0') for call in record.read_bytes().split(b'\0\n')
    ]
    return Done(done.returncode, calls[:-1], done.stderr)

  return run


def parse(arguments):
  return flags.parse(['launch.py', *arguments])


# -- the scripts as scripts


@pytest.mark.parametrize('name', SCRIPTS)
def test_bash_reads_the_script(name):
  assert os.access(JOBS / name, os.X_OK)
  done = subprocess.run(['bash', '-n', JOBS / name], capture_output=True)
  assert done.returncode == 0 and not done.stderr


def shell_code():
  for name in SCRIPTS:
    yield name, (JOBS / name).read_text()
  yield 'jobset.yaml', CONTAINER['args'][0]
  yield 'sky.yaml setup', SKY['setup']
  yield 'sky.yaml run', SKY['run']
  yield 'Dockerfile', '\n'.join(r for i, r in DOCKERFILE if i == 'RUN')


@pytest.mark.parametrize(('name', 'text'), list(shell_code()))
def test_shellcheck_finds_nothing(name, text):
  beside = pathlib.Path(sys.executable).parent
  found = shutil.which('shellcheck', path=f'{beside}:{os.environ["PATH"]}')
  if not found:
    pytest.skip("no shellcheck: pip install -e '.[test]' brings it")
  done = subprocess.run(
    [found, '--shell=bash', '-'], input=text, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout


# -- SLURM

SBATCH = {
  *('array', 'cpus-per-task', 'gpus', 'gpus-per-node', 'job-name', 'nodes'),
  *('ntasks-per-node', 'open-mode', 'output', 'requeue', 'signal', 'time'),
}
TASK = {
  'SLURM_JOB_ID': '81',
  'SLURM_JOB_NAME': 'my name',
  'SLURM_CPUS_PER_TASK': '8',
  'SLURM_ARRAY_JOB_ID': '77',
  'SLURM_ARRAY_TASK_ID': '3',
}


@pytest.mark.parametrize('name', SLURM)
def test_slurm_signals_python_before_the_end(name):
  text = (JOBS / name).read_text()
  found = dict(re.findall(r'^#SBATCH --([\w-]+)(?:=(\S+))?$', text, re.M))
  assert {*found} <= SBATCH and len(found) == text.count('\n#SBATCH')
  assert 'requeue' in found and found['open-mode'] == 'append'
  # 'B:' would signal the shell alone, which waits for srun.
  signal, seconds = found['signal'].split('@')
  expected = 'TERM' if '--distributed' in text else 'USR1'
  assert signal == expected and int(seconds) >= 120
  assert getattr(signals.signal, f'SIG{signal}') in signals.NUMBERS
  # All options come before the first command, or SLURM does not see them.
  assert text.rindex('#SBATCH') < re.search(r'^[^#\n]', text, re.M).start()


@pytest.mark.parametrize('name', SLURM)
@pytest.mark.parametrize('status', [0, 2, 5, 137, 138, 143])
def test_slurm_queues_what_was_saved_again(name, status, dry):
  done = dry(str(JOBS / name), STATUS=str(status), **TASK)
  assert done.status == status, done.err
  assert done.of('srun')[0][0] == '--cpus-per-task=8'
  job = '77_3' if name == 'slurm_array.sh' else '81'
  # Where there are several processes USR1 is not what they save at.
  saved = (143,) if name == 'slurm_nodes.sh' else (138, 143)
  assert done.of('scontrol') == ([['requeue', job]] if status in saved else [])


@pytest.mark.parametrize('name', SLURM)
@pytest.mark.parametrize(
  'given', [[], ['--experiment=classification', '--dataset=folder:my photos']]
)
def test_slurm_starts_a_command_line_that_holds(name, given, dry):
  (line,) = dry(str(JOBS / name), *given, **TASK).launches()
  settings = parse(line)
  assert settings.experiment == ('classification' if given else 'triplet')
  assert settings.config.data.dataset == (
    'folder:my photos' if given else 'digits'
  )
  assert settings.run.workdir.startswith('results/my name')
  # The same command, so that the run goes on.
  assert dry(str(JOBS / name), *given, **TASK).launches() == [line]


def test_slurm_array_splits_the_seeds(dry):
  found, folders = [], set()
  for task in range(4):
    environment = TASK | {'SLURM_ARRAY_TASK_ID': str(task), 'SEEDS': '3'}
    (line,) = dry(str(JOBS / 'slurm_array.sh'), **environment).launches()
    run = parse(line).run
    found += range(run.seed, run.seed + run.seeds)
    folders.add(run.workdir)
    assert run.sweep == 'map'
  assert found == list(range(12)) and len(folders) == 4
  assert {pathlib.Path(each).parent.name for each in folders} == {'my name'}


def test_slurm_nodes_are_one_run(dry):
  (line,) = dry(str(JOBS / 'slurm_nodes.sh'), **TASK).launches()
  assert parse(line).run.distributed


# -- Kubernetes


def valid(schema, value):
  """Tells what is wrong with a value, or ''."""
  jsonschema = pytest.importorskip(
    'jsonschema', reason="pip install -e '.[test]' brings jsonschema"
  )
  path = ROOT / 'tests' / 'jobs' / f'{schema}.json'
  checker = jsonschema.Draft202012Validator(json.loads(path.read_text()))
  return '; '.join(error.message for error in checker.iter_errors(value))


def changed(value, path, new):
  """Copies a value with something else, or something more, at a path."""
  copy = json.loads(json.dumps(value))
  at = copy
  for step in path[:-1]:
    at = at[step]
  at[path[-1]] = new
  return copy


@pytest.mark.parametrize('document', [CLAIM, JOBSET])
def test_kubernetes_would_take_the_manifest(document):
  assert not valid(document['kind'].lower(), document)


TEMPLATE = ('spec', 'replicatedJobs', 0, 'template', 'spec')
POD = (*TEMPLATE, 'template', 'spec')


@pytest.mark.parametrize(
  ('path', 'new'),
  [
    (('apiVersion',), 'jobset.x-k8s.io/v1'),
    (('spec', 'failurePolicy', 'maxRestart'), 3),
    (('spec', 'failurePolicy', 'rules', 0, 'action'), 'Fail'),
    (('spec', 'network', 'enableDNSHostnames'), 'yes'),
    ((*TEMPLATE, 'parallelism'), '2'),
    ((*TEMPLATE, 'completionMode'), 'indexed'),
    ((*TEMPLATE, 'podFailurePolicy', 'rules', 0, 'action'), 'FailJobSet'),
    ((*POD, 'restartPolicy'), 'OnError'),
    ((*POD, 'terminationGracePeriod'), 120),
    ((*POD, 'containers', 0, 'env'), [{'name': 'SEEDS', 'value': 8}]),
    ((*POD, 'containers', 0, 'volumeMounts', 0), {'name': 'results'}),
  ],
)
def test_a_wrong_manifest_is_seen(path, new):
  assert valid('jobset', changed(JOBSET, path, new))


def test_pods_start_a_command_line_that_holds(dry):
  code = [*CONTAINER['command'], *CONTAINER['args']]
  (line,) = dry(*code, JOB_COMPLETION_INDEX='1').launches()
  settings = parse(line)
  run = settings.run
  assert settings.experiment == 'triplet'
  assert run.distributed and run.process_id == 1
  assert run.num_processes == JOB['completions'] == JOB['parallelism']
  host, port = run.coordinator.split(':')
  name = JOBSET['metadata']['name']
  assert host == f'{name}-{REPLICATED["name"]}-0-0.{name}'
  assert 1024 < int(port) < 65536


def test_pods_save_on_a_claim_that_is_there():
  pod = JOB['template']['spec']
  (volume,), (mount,) = pod['volumes'], CONTAINER['volumeMounts']
  claim = volume['persistentVolumeClaim']['claimName']
  assert claim == CLAIM['metadata']['name'] and mount['name'] == volume['name']
  assert f'--workdir={mount["mountPath"]}/' in CONTAINER['args'][0]
  assert CLAIM['spec']['accessModes'] == ['ReadWriteMany']
  (rule,) = JOB['podFailurePolicy']['rules']
  assert rule['onExitCodes']['containerName'] == CONTAINER['name']
  # Kubernetes takes such rules of pods that are never restarted only.
  assert pod['restartPolicy'] == 'Never'
  assert 'exec python' in CONTAINER['args'][0]


# -- Cloud TPU

GCLOUD = {
  'create': '--accelerator-type --metadata-from-file --node-id --quiet '
  '--runtime-version --spot --zone',
  'delete': '--force --quiet --zone',
  'describe': '--quiet --zone',
  'list': '--filter --format --quiet --zone',
  'ssh': '--command --quiet --worker --zone',
}


def on_tpu(dry, tmp_path, answers, *given):
  (tmp_path / 'answers').write_text('\n'.join(answers) + '\n')
  done = dry(
    str(JOBS / 'cloud_tpu.sh'),
    *given,
    NAME='mnist',
    ZONE='z',
    IMAGE='us-docker.pkg.dev/p/dlcore:tpu',
    SHARE='10.0.0.2:/share',
    STARTUP=str(tmp_path / 'startup'),
    ANSWERS=str(tmp_path / 'answers'),
  )
  for call in done.of('gcloud'):
    known = GCLOUD[call[3]].split()
    flags_given = {a.partition('=')[0] for a in call if a.startswith('--')}
    assert flags_given <= {*known}, call
  return done, [call[3] for call in done.of('gcloud') if call[3] != 'list']


def test_a_tpu_is_asked_for_again_after_preemption(dry, tmp_path):
  waits = ['', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE', 'lost']
  lost = ['lost', 'ACTIVE', 'running 0', 'ACTIVE', 'exited 143', 'SUSPENDED']
  ends = ['', 'ACTIVE', 'exited 0']
  done, asked = on_tpu(dry, tmp_path, waits + lost + ends)
  assert done.status == 0, done.err
  assert asked == (
    ['create', 'ssh', 'ssh', 'ssh', 'delete', 'create', 'ssh', 'delete']
  )
  creates = [call for call in done.of('gcloud') if call[3] == 'create']
  assert creates[0] == creates[1] and '--spot' in creates[0]


def test_a_tpu_is_given_back_after_an_error(dry, tmp_path):
  done, asked = on_tpu(dry, tmp_path, ['ACTIVE', 'exited 5'])
  assert done.status == 5 and asked == ['ssh', 'delete']
  done, asked = on_tpu(dry, tmp_path, ['FAILED'])
  assert done.status == 1 and asked == ['describe']


@pytest.mark.parametrize(
  'given', [[], ['--experiment=classification', '--dataset=folder:my photos']]
)
def test_tpu_workers_start_a_command_line_that_holds(given, dry, tmp_path):
  on_tpu(dry, tmp_path, ['', 'ACTIVE', 'exited 0'], *given)
  (tmp_path / 'results').mkdir()
  text = (tmp_path / 'startup').read_text()
  startup = text.replace('/results', f'{tmp_path}/results')
  done = dry('bash', '-c', startup, HOSTNAME='w-0')
  assert done.status == 0, done.err
  assert [call[0] for call in done.of('docker')] == ['rm', 'run']
  run = done.of('docker')[1]
  line = run[run.index('us-docker.pkg.dev/p/dlcore:tpu') + 1 :]
  settings = parse(line)
  assert settings.experiment == ('classification' if given else 'triplet')
  assert settings.run.workdir == f'{tmp_path}/results/mnist'
  assert done.of('mount') == [['10.0.0.2:/share', f'{tmp_path}/results']]
  assert settings.run.distributed


# -- SkyPilot


def test_skypilot_would_take_the_task():
  assert not valid('sky', SKY)


@pytest.mark.parametrize(
  ('path', 'new'),
  [
    (('resource',), {}),
    (('resources', 'spot'), True),
    (('resources', 'job_recovery', 'recover_on_exit_codes'), [300]),
    (('envs', 'RUN'), 3),
    (('file_mounts', '/results', 'mode'), 'MOUNTED'),
    (('file_mounts', '/results', 'config', 'mount_cached', 'transfer'), 1),
    (('run',), ['python']),
  ],
)
def test_a_wrong_task_is_seen(path, new):
  assert valid('sky', changed(SKY, path, new))


def test_skypilot_starts_a_command_line_that_holds(dry, tmp_path):
  place = tmp_path / 'venv' / 'bin'
  place.mkdir(parents=True)
  (place / 'python').write_text(RECORD)
  (place / 'python').chmod(0o755)
  done = dry('bash', '-c', SKY['run'], **SKY['envs'])
  (line,) = done.launches()
  assert parse(line).experiment == 'triplet'
  assert parse(line).run.workdir == '/results/triplet'
  assert [*SKY['file_mounts']] == ['/results']
  several = '--experiment=triplet --sweep=map --seed=8 --seeds=8'
  (line,) = dry('bash', '-c', SKY['run'], RUN='s/1', FLAGS=several).launches()
  assert (parse(line).run.seed, parse(line).run.workdir) == (8, '/results/s/1')
  calls = dry('bash', '-c', SKY['setup']).of('python3')
  assert calls[-1][-2:] == ['--editable', '.[cuda]']


# -- Docker


def test_the_dockerfile_holds():
  found = dict(DOCKERFILE)
  known = 'FROM ARG RUN WORKDIR COPY ENV ENTRYPOINT CMD'
  assert sorted(found) == sorted(known.split())
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  python = re.fullmatch(r'python:3\.(\d+)-slim', found['FROM'])
  assert int(python[1]) >= int(project['requires-python'].removeprefix('>=3.'))
  name, extra = found['ARG'].split('=')
  assert (name, extra) == ('EXTRA', 'cuda')
  assert {'cuda', 'tpu'} <= {*project['optional-dependencies']}
  assert found['RUN'] == 'pip install --no-cache-dir -e ".[$EXTRA]"'
  start, *line = json.loads(found['ENTRYPOINT']) + json.loads(found['CMD'])
  assert start == 'python' and line[0] == 'launch.py'
  assert parse(line[1:]).experiment == 'triplet'


def test_the_image_gets_what_it_needs():
  assert dict(DOCKERFILE)['COPY'] == '. .'
  ignored = [
    line.removeprefix('**/')
    for line in (ROOT / '.dockerignore').read_text().split('\n')
    if line and not line.startswith('#')
  ]
  needed = ['dlcore', 'experiments', 'launch.py', 'pyproject.toml']
  needed += ['README.md', 'LICENSE', '.git']
  for name in needed:
    assert not any(pathlib.Path(name).match(each) for each in ignored), name
  assert pathlib.Path('results').match(ignored[0])


# -- the page


def commands():
  """What is started with flags of launch.py, on the page and in the files."""
  texts = [README] + [(JOBS / name).read_text() for name in SCRIPTS]
  pattern = r'(?:jobs/\w+\.sh|python launch\.py)( --(?:exp|mode).*)'
  found = {m for text in texts for m in re.findall(pattern, text)}
  return sorted(found | {*re.findall(r"FLAGS='(.*?)'", README)})


@pytest.mark.parametrize('line', commands())
def test_what_is_to_be_typed_parses(line):
  parse(shlex.split(line, comments=True))


def test_the_page_tells_of_every_file():
  listed = re.findall(r'^\| \[([\w.]+)\]', README, re.M)
  there = {path.name for path in JOBS.iterdir()} - {'README.md'}
  assert sorted(listed) == sorted(there)
  used = set(re.findall(r'jobs/([\w.]+)', README))
  assert there <= used | {'Dockerfile'}

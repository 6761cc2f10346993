"""What a drill found: one line to read, one JSON file to keep."""

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
from collections.abc import Sequence
from typing import Any, NamedTuple

from dlcore import reference

ROOT = pathlib.Path(__file__).parent.parent.parent
PACKAGES = ('jax', 'jaxlib', 'orbax-checkpoint', 'numpy', 'pillow')


class Outcome(NamedTuple):
  """The end of a drill.

  Attributes:
    name: of the drill.
    trials: how often something was broken.
    failures: one sentence for every trial that did not come out right.
    figures: what was measured.
  """

  name: str
  trials: int
  failures: list[str]
  figures: dict[str, Any]

  @property
  def passed(self) -> bool:
    """Whether there were trials, and every one came out right."""
    return self.trials > 0 and not self.failures


def seconds(values: Sequence[float]) -> dict[str, float] | None:
  """Median and maximum, rounded; None of nothing."""
  if not values:
    return None
  return {
    'median_s': round(statistics.median(values), 3),
    'max_s': round(max(values), 3),
  }


def line(outcome: Outcome) -> str:
  """PASS or FAIL, and the figures, on one line."""
  told = [reference.told(outcome._asdict()), *outcome.failures[:1]]
  verdict = 'PASS' if outcome.passed else 'FAIL'
  return ' '.join(f'{verdict} {outcome.name}: {"; ".join(told)}'.split())


def write(
  outcome: Outcome, folder: pathlib.Path, command: str, what: str
) -> None:
  """Writes `<folder>/<name>.json`."""
  folder.mkdir(parents=True, exist_ok=True)
  record = {
    'name': outcome.name,
    'what': what,
    'passed': outcome.passed,
    'date': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
    'commit': commit(),
    'versions': {'python': platform.python_version()}
    | {package: importlib.metadata.version(package) for package in PACKAGES},
    'cores': len(os.sched_getaffinity(0)),
    'trials': outcome.trials,
    'failures': outcome.failures,
    'figures': outcome.figures,
    'command': command,
  }
  text = json.dumps(record, indent=2, allow_nan=False) + '\n'
  (folder / f'{outcome.name}.json').write_text(text, encoding='utf-8')


def commit() -> str | None:
  """The commit that was drilled, with a mark if files had changed since."""
  try:
    found = subprocess.run(
      ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*'],
      cwd=ROOT,
      capture_output=True,
      text=True,
    )
  except OSError:
    return None
  return found.stdout.strip() or None

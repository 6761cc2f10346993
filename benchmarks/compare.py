"""Runs peers side by side, A B C A B C, and keeps every sample."""

import os
import statistics
import sys
import time
from typing import Any, NamedTuple

from benchmarks import works
from benchmarks.peer import Peer


class Plan(NamedTuple):
  """How to measure.

  Attributes:
    peers: their names, in order.
    pythons: name -> interpreter, where it is not this one.
    repeats: samples of each.
    seconds: least length of a sample, in whole epochs.
    wait: longest wait for a quiet machine before a sample, in seconds.
  """

  peers: tuple[str, ...]
  pythons: dict[str, str]
  repeats: int
  seconds: float
  wait: float


def busy() -> float:
  """Seconds of the processors spent on this machine since it started.

  Returns:
    Them, of all processes.
  """
  with open('/proc/stat', encoding='ascii') as file:
    times = [int(word) for word in file.readline().split()[1:]]
  return (sum(times[:3]) + sum(times[5:8])) / os.sysconf('SC_CLK_TCK')


def quiet(wait: float) -> None:
  """Waits until others leave the machine alone for a quarter of a second.

  Args:
    wait: longest wait, in seconds.
  """
  end = time.monotonic() + wait
  while time.monotonic() < end:
    before = busy()
    time.sleep(0.25)
    if busy() - before < 0.05:
      return


def begun(
  peer: str, work: str, plan: Plan, absent: set[str]
) -> tuple[Peer, dict[str, Any]] | None:
  """Starts a peer on a work; says why where that does not work.

  Args:
    peer: its name.
    work: its name.
    plan: how to measure.
    absent: peers that are not installed; one found to be so is added.

  Returns:
    The process and the start of its row, or None.
  """
  process = Peer(peer, plan.pythons.get(peer, sys.executable))
  if process.missing:
    print(f'{peer}: left out, {process.missing}', flush=True)
    absent.add(peer)
    process.end()
    return None
  said = process.ask(work=work, check=True)
  why = said.get('refused') or said.get('failed')
  if why:
    print(f'{work} {peer}: left out, {why}', flush=True)
    process.end()
    return None
  epoch = process.ask(epochs=1)['wall_s']
  return process, {
    'work': work,
    'peer': peer,
    'versions': process.versions,
    'first_loss': said['first_loss'],
    'ready_s': said['ready_s'],
    'epochs': max(1, round(plan.seconds / epoch + 0.5)),
    'samples': [],
  }


def measured(name: str, plan: Plan, absent: set[str]) -> list[dict[str, Any]]:
  """Measures every peer on every work of a comparison, in turns.

  Args:
    name: of a work, or a key of `works.GROWTH`.
    plan: how to measure.
    absent: as in `begun`.

  Returns:
    A row for each work and peer.
  """
  found: list[tuple[Peer, dict[str, Any]]] = []
  try:
    for work in works.GROWTH.get(name, [name]):
      for peer in plan.peers:
        one = None if peer in absent else begun(peer, work, plan, absent)
        found += [one] if one else []
    for _ in range(plan.repeats):
      for process, row in found:
        quiet(plan.wait)
        if row['epochs'] > 1:
          process.ask(epochs=1)  # its memory is cold after the stop
        before = busy()
        sample = process.ask(epochs=row['epochs'])
        if 'failed' in sample:
          raise RuntimeError(f'{row["work"]} {row["peer"]}: {sample["failed"]}')
        others = busy() - before - sample['cpu_s']
        sample['others'] = round(max(others, 0) / sample['wall_s'], 3)
        row['samples'].append(sample)
  finally:
    for process, _ in found:
      process.end()
  rows = [row for _, row in found]
  for row in rows:
    summarise(row)
  for row in rows:
    ours = [
      r for r in rows if (r['work'], r['peer']) == (row['work'], 'dlcore')
    ]
    row['ratio'] = row['median'] / ours[0]['median'] if ours else None
    if ours and abs(row['first_loss'] / ours[0]['first_loss'] - 1) > 1e-3:
      print(f'{row["work"]} {row["peer"]}: its loss is another one', flush=True)
  return rows


def summarise(row: dict[str, Any]) -> None:
  """Adds to a row what its samples say.

  Args:
    row: its examples per second, over all seeds, are added, and the seconds of
      the processor for 1000 of them.
  """
  work = works.find(row['work'])
  examples = works.steps(work) * work.batch * work.seeds * row['epochs']
  rates = [examples / sample['wall_s'] for sample in row['samples']]
  cpu = statistics.median(sample['cpu_s'] for sample in row['samples'])
  row |= {
    'median': statistics.median(rates),
    'best': max(rates),
    'cpu_s_per_1000': 1000 * cpu / examples,
    'others': statistics.median(s['others'] for s in row['samples']),
  }


def shown(row: dict[str, Any]) -> str:
  """Writes a row on one line.

  Args:
    row: from `measured`.

  Returns:
    The line.
  """
  ratio = '' if row['ratio'] is None else f'{row["ratio"]:.2f} of dlcore'
  loss = f'{row["first_loss"]:.4f} to {row["samples"][-1]["loss"]:.4f}'
  return (
    f'{row["work"]:24} {row["peer"]:13} {row["median"]:12,.0f} a second  '
    f'best {row["best"]:12,.0f}  cpu {1e3 * row["cpu_s_per_1000"]:8.2f} us'
    f'  others {row["others"]:.2f}  loss {loss}  {ratio}'
  )

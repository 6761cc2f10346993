"""The README's tables of benchmarks, from their records alone."""

import json
import math
import pathlib
import statistics
from typing import Any

from benchmarks import works
from benchmarks.peer import PEERS

REFERENCE = pathlib.Path(__file__).parent.parent / 'results' / 'reference'
# Of an H200, from its data sheet: 40 % of what it computes in bfloat16, NVLink
# one way, and a network card of 400 Gbit/s for each.
SUSTAINED, WITHIN, BETWEEN = 400e12, 450e9, 50e9
Rows = list[dict[str, Any]]


def records(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
  """Reads the records of a folder.

  Args:
    folder: of the JSON files.

  Returns:
    Name of the comparison -> record.
  """
  found = {}
  for path in sorted(folder.glob('*.json')):
    record = json.loads(path.read_text(encoding='utf-8'))
    found[record['name']] = record
  return found


def markdown(lines: list[list[str]]) -> str:
  """Lays out a table.

  Args:
    lines: its cells, the head first.

  Returns:
    Markdown.
  """
  head, *rest = ['| ' + ' | '.join(line) + ' |' for line in lines]
  return '\n'.join([head, '|---' * len(lines[0]) + '|', *rest])


def peers(rows: Rows) -> list[str]:
  """Lists the peers of some rows, always in the same order.

  Args:
    rows: the rows.

  Returns:
    Their names, dlcore the first.
  """
  there = {row['peer'] for row in rows}
  return [name for name in PEERS if name in there]


def beside(found: dict[str, dict[str, Any]], *, whole: bool) -> str:
  """Renders dlcore beside its peers, a row for each work.

  Args:
    found: from `records`.
    whole: whether epochs end with a validation.

  Returns:
    Markdown: examples a second of dlcore, and how many times as fast as each
    peer that is; '' without records.
  """
  names = [name + ':whole' * whole for name in works.WORKS]
  rows = [r for n in names for r in found.get(n, {'rows': []})['rows']]
  if not rows:
    return ''
  columns = [name for name in peers(rows) if name != 'dlcore']
  lines = [['', 'dlcore, examples/s', *(f'`{name}`' for name in columns)]]
  for name in names:
    own = {r['peer']: r for r in rows if r['work'] == name}
    if 'dlcore' not in own:
      continue
    cells = [
      f'{1 / own[peer]["ratio"]:.2f} x' if peer in own else ''
      for peer in columns
    ]
    base = name.partition(':')[0]
    title = f'{base}: {works.MEANING[base]}'
    lines.append([title, f'{own["dlcore"]["median"]:,.0f}', *cells])
  return markdown(lines)


def growth(found: dict[str, dict[str, Any]]) -> str:
  """Renders how the cost of an example grows.

  Args:
    found: from `records`.

  Returns:
    Markdown: microseconds per example and seed, a row for each size; '' without
    records.
  """
  rows = [r for n in works.GROWTH for r in found.get(n, {'rows': []})['rows']]
  if not rows:
    return ''
  columns = peers(rows)
  lines = [['microseconds per example', *(f'`{name}`' for name in columns)]]
  for work in dict.fromkeys(r['work'] for r in rows):
    own = {r['peer']: r for r in rows if r['work'] == work}
    cells = [
      _short(1e6 / own[peer]['median']) if peer in own else ''
      for peer in columns
    ]
    lines.append([work.replace(':', ', '), *cells])
  return markdown(lines)


def _short(value: float) -> str:
  """Writes a number with three digits, or all of a larger one."""
  return f'{value:.3g}' if value < 1000 else f'{value:,.0f}'


def launch(found: dict[str, dict[str, Any]]) -> str:
  """Renders the seconds from the command to the first step.

  Args:
    found: from `records`.

  Returns:
    Markdown: first and second launch of each peer; '' without records.
  """
  rows = found.get('launch', {'rows': []})['rows']
  if not rows:
    return ''
  columns = peers(rows)
  lines = [['seconds to the first step', *(f'`{name}`' for name in columns)]]
  for work in dict.fromkeys(r['work'] for r in rows):
    own = {r['peer']: r for r in rows if r['work'] == work}
    cells = [
      f'{own[peer]["first_s"]:.1f}, then {own[peer]["second_s"]:.1f}'
      if peer in own
      else ''
      for peer in columns
    ]
    lines.append([work, *cells])
  return markdown(lines)


def retrieval(found: dict[str, dict[str, Any]]) -> str:
  """Renders the metrics of large embeddings beside their peer.

  Args:
    found: from `records`.

  Returns:
    Markdown, a row for each number of examples and classes; '' without records.
  """
  rows = found.get('retrieval', {'rows': []})['rows']
  if not rows:
    return ''
  lines = [
    ['128 numbers each', 'dlcore', 'the peer', 'times as fast', 'memory']
    + ['largest difference']
  ]
  for row in rows:
    own, other = row['sides']
    seconds = [f'{statistics.median(s["wall_s"]):.1f} s' for s in (own, other)]
    lines.append(
      [f'{row["n"]:,} of {row["classes"]:,} classes', *seconds]
      + [f'{row["ratio"]["wall_s"]:.1f} x']
      + [f'{own["peak_gib"]:.2f} and {other["peak_gib"]:.2f} GiB']
      + [f'{max(row["differences"].values()):.0e}']
    )
  return markdown(lines)


def streaming(found: dict[str, dict[str, Any]]) -> str:
  """Renders what it costs to read images while training.

  Args:
    found: from `records`.

  Returns:
    Markdown; '' without records.
  """
  if 'streaming' not in found:
    return ''
  speed, memory = found['streaming']['rows']
  rates = speed['examples_per_s']
  lines = [
    ['examples/s', 'streamed', 'in memory', 'streamed beside it'],
    [speed['work']]
    + [f'{rates[way]:,.0f}' for way in ('streamed', 'memory')]
    + [f'{speed["ratio"]:.2f} x'],
  ]
  peaks = ', '.join(
    f'{gb:.2f} GB of {times} x' for times, gb in memory['peak_gb'].items()
  )
  return (
    f'{markdown(lines)}\n\nThe most memory that {memory["work"]} hold, of sets '
    f'of so many times the buffer of {memory["buffer_gb"]:.2f} GB: {peaks}.'
  )


def scaling(folder: pathlib.Path = REFERENCE / 'benchmarks') -> str:
  """Renders what several devices cost, and what that means for many.

  Args:
    folder: of the records.

  Returns:
    Markdown; '' where nothing is recorded.
  """
  found = records(folder).get('scaling')
  if not found:
    return ''
  counts = [*found['rows'][0]['examples_per_s']]
  lines = [['', *(f'{n} device{"s" * (n != "1")}' for n in counts)]]
  for row in found['rows']:
    rates, moved = row['examples_per_s'], row['bytes_per_step']
    cells = [
      f'{rates[n] / rates["1"]:.2f} x, {moved[n]:,} bytes' for n in counts
    ]
    lines.append(
      [f'{row["work"]}, {row["runs"]} run(s), `{row["axis"]}`', *cells]
    )
  wide = [
    ['', 'parameters', 'a step sends', 'within a node', 'between nodes']
    + ['as long as the step at']
  ]
  for row in found['networks']:
    sent = 8 * row['parameters']  # reduced, and handed on: 4 bytes each
    example = 6 * row['multiply_adds'] / SUSTAINED
    wide.append(
      [f'`{row["network"]}`', f'{row["parameters"]:,}', f'{sent / 1e6:,.1f} MB']
      + [f'{1e3 * sent / WITHIN:.2f} ms', f'{1e3 * sent / BETWEEN:.2f} ms']
      + [f'{math.ceil(sent / BETWEEN / example):,} examples a device']
    )
  machine = found['machine']
  where = f'{machine["cores"]} x {machine["cpu"]}'
  return (
    f'Measured on {where} by `{found["command"]}`, medians:\n\n'
    f'{markdown(lines)}\n\n'
    f'Computed for {SUSTAINED / 1e12:g} TFLOP/s a device, {WITHIN / 1e9:g} '
    f'GB/s within and {BETWEEN / 1e9:g} GB/s between nodes:\n\n{markdown(wide)}'
  )


def table(folder: pathlib.Path = REFERENCE / 'benchmarks') -> str:
  """Renders all that is recorded.

  Args:
    folder: of the records.

  Returns:
    Markdown; '' where nothing is recorded.
  """
  found = records(folder)
  if not found:
    return ''
  machines = {
    f'{m["cores"]} x {m["cpu"]}' + (f', {m["gpu"]}' if m['gpu'] else '')
    for m in (record['machine'] for record in found.values())
  }
  sets = [
    (
      'Training alone; beside each peer, how many times as fast dlcore is',
      beside(found, whole=False),
    ),
    (
      'Whole epochs, with validation and its metrics',
      beside(found, whole=True),
    ),
    ('How the cost grows, seeds counted as examples', growth(found)),
    (
      'precision@1, R-precision and MAP@R of embeddings, beside '
      "pytorch-metric-learning's calculator",
      retrieval(found),
    ),
    ('Images that are streamed', streaming(found)),
    ('From the command to the first step, and once more', launch(found)),
  ]
  parts = [f'{title}:\n\n{text}' for title, text in sets if text]
  return '\n\n'.join([f'Measured on {"; ".join(sorted(machines))}.', *parts])

"""Hand-made runs, and a reader of their pages."""

import html.parser
import json
import re
import struct
import zlib

from dlcore import results
from dlcore.page import blocks

VOID = {'meta', 'link', 'img', 'br', 'hr', 'input'}


def png(width, height):
  """A black picture, made by hand."""

  def part(kind, data):
    whole = kind + data
    return (
      struct.pack('>I', len(data))
      + whole
      + struct.pack('>I', zlib.crc32(whole))
    )

  head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
  rows = zlib.compress((b'\0' * (width + 1)) * height)
  return (
    blocks.PNG + part(b'IHDR', head) + part(b'IDAT', rows) + part(b'IEND', b'')
  )


def summary_of(accuracies, *, diverged=()):
  """A summary of a seed per accuracy, loss = 1 - accuracy."""
  runs = [
    {
      'seed': seed,
      'test': {'accuracy': value, 'loss': 1 - value},
      'best_epoch': 3,
      'diverged': seed in diverged,
      'diverged_at_step': 7 if seed in diverged else None,
    }
    for seed, value in enumerate(accuracies)
  ]
  return {
    'experiment': 'classification',
    'dataset': 'digits',
    'epochs': 10,
    'runs': runs,
    'settings': results.by_setting(runs, []),
    'baselines': {'chance': {'accuracy': 0.1}},
    'timing': {'compile_s': 3.0, 'train_s': 6.0, 'examples_per_s': 1234.5},
  }


CONFIG = {
  'experiment': 'classification',
  'argv': ['--experiment=classification', '--note=a b'],
  'device': '1 x cpu (cpu)',
  'time': '2026-01-02T03:04:05+00:00',
  'python': '3.12',
  'versions': {'jax': '0.10', 'none': None},
  'commit': 'c' * 40,
  'dirty': True,
  'config': {'learning_rate': 0.1, 'network': 'mlp', 'epochs': 10},
  'swept': {},
  'how': 'map',
  'data': 'd' * 64,
}


def rows_of(train, validation, seeds=2):
  """Rows of losses by epoch; seed s is 10 per cent of s above."""
  return [
    {
      'epoch': e + 1,
      'step': e,
      'seed': s,
      'train/loss': a * (1 + s / 10),
      'validation/loss': b * (1 + s / 10),
    }
    for e, (a, b) in enumerate(zip(train, validation, strict=True))
    for s in range(seeds)
  ]


FALLING = [2 ** (-e) for e in range(10)]


def folder_of(path, summary, config=CONFIG, rows=()):
  path.mkdir(parents=True, exist_ok=True)
  (path / 'summary.json').write_text(json.dumps(summary))
  (path / 'config.json').write_text(json.dumps(config))
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  (path / 'metrics.jsonl').write_text(text)
  (path / 'figures').mkdir(exist_ok=True)
  (path / 'figures' / 'confusion.png').write_bytes(png(30, 20))
  return path


class Reader(html.parser.HTMLParser):
  """Reads a page: its elements with their ancestors, and what is wrong."""

  def __init__(self, text):
    super().__init__()
    self.open, self.wrong, self.found, self.text = [], [], [], []
    self.feed(text)
    self.close()
    self.wrong += [f'{tag} is never closed' for tag, _ in self.open]

  def handle_starttag(self, tag, attributes):
    ancestors = [name for name, _ in self.open]
    self.found.append((tag, dict(attributes), ancestors))
    if tag not in VOID:
      self.open.append((tag, self.getpos()))

  def handle_startendtag(self, tag, attributes):
    ancestors = [name for name, _ in self.open]
    self.found.append((tag, dict(attributes), ancestors))

  def handle_endtag(self, tag):
    if not self.open or self.open[-1][0] != tag:
      self.wrong.append(f'</{tag}> at {self.getpos()} closes {self.open[-1:]}')
    else:
      self.open.pop()

  def handle_data(self, data):
    if not {'style', 'script'} & {name for name, _ in self.open}:
      self.text.append(data)


def sound(text):
  """Reads a page and checks what holds of every one."""
  read = Reader(text)
  assert not read.wrong
  tags = [tag for tag, _, within in read.found if 'svg' not in within]
  assert tags.count('html') == tags.count('title') == tags.count('h1') == 1
  assert dict(read.found[0][1]) == {'lang': 'en'}
  figures = 0
  for tag, attributes, ancestors in read.found:
    for name in ('src', 'href'):
      assert attributes.get(name, 'data:').startswith('data:')
    if tag == 'img':
      assert attributes['alt'] and int(attributes['width']) > 0
    if tag in ('img', 'svg') and 'aria-hidden' not in attributes:
      assert 'figure' in ancestors
      figures += 1
    if tag == 'svg' and 'aria-hidden' not in attributes:
      assert attributes['role'] == 'img' and attributes['aria-label']
    if tag == 'th':
      assert attributes['scope'] in ('col', 'row')
  assert tags.count('figure') == tags.count('figcaption') == figures
  assert not re.search(r'https?:|@import|url\(', text)
  return read


def cells(table, row):
  return [cell.text for cell in table.rows[row]]


def told(found):
  return '\n'.join(f'{note.level}: {note.text}' for note in found)

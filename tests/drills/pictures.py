"""Malformed images in a folder: told in one line, or read with sane values."""

import contextlib
import os
import pathlib
import random
import resource
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable

import numpy as np

from .outcome import Outcome
from .process import Patch, applied, ask

SIDE = 16
GROWTH = 300  # megabytes that reading them all may take at most
GOOD = 4  # good images of each class
REASONS = ['1 unreadable', 'million pixels', 'different sizes']

Broken = Callable[[pathlib.Path, random.Random], None]


def picture(rng: random.Random, mode: str = 'RGB'):
  """An image of noise."""
  from PIL import Image

  bands = len(Image.new(mode, (1, 1)).getbands())
  data = rng.randbytes(SIDE * SIDE * bands)
  return Image.frombytes(mode, (SIDE, SIDE), data)


def cut(kind: str) -> Broken:
  """A file that ends too early."""

  def make(path, rng):
    picture(rng).save(path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, len(data) * 3 // 4)])

  return make


def noise(kind: str) -> Broken:
  """A file with bytes changed behind its head."""

  def make(path, rng):
    picture(rng).save(path, kind)
    data = bytearray(path.read_bytes())
    for _ in range(20):
      data[rng.randrange(20, len(data))] = rng.randrange(256)
    path.write_bytes(data)

  return make


def chunk(name: bytes, data: bytes) -> bytes:
  """One part of a PNG."""
  check = struct.pack('>I', zlib.crc32(name + data))
  return struct.pack('>I', len(data)) + name + data + check


def bomb(path: pathlib.Path, rng: random.Random) -> None:
  """A PNG of a few kilobytes that is 65 or 88 Mpx, one bit each."""
  side = rng.choice([8100, 9400])
  head = struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0)
  rows = side * (1 + (side + 7) // 8)
  body = chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(bytes(rows)))
  path.write_bytes(b'\x89PNG\r\n\x1a\n' + body + chunk(b'IEND', b''))


def text_bomb(path: pathlib.Path, rng: random.Random) -> None:
  """A PNG with a remark that is 200 MB unpacked."""
  picture(rng).save(path, 'PNG')
  data = path.read_bytes()
  packed = zlib.compress(bytes(200 * 2**20), 9)
  remark = chunk(b'zTXt', b'Comment\0\0' + packed)
  path.write_bytes(data[:33] + remark + data[33:])


def link(target: str) -> Broken:
  """A link to itself, to nothing, or to a device."""

  def make(path, rng):
    path.symlink_to(path.name if target == 'itself' else target)

  return make


def bits16(path: pathlib.Path, rng: random.Random) -> None:
  """A grey PNG of 16 bits, the same in every pixel."""
  from PIL import Image

  wide = np.full((SIDE, SIDE), 257 * 100, np.uint16)
  Image.fromarray(wide).save(path, 'PNG')


def animated(path: pathlib.Path, rng: random.Random) -> None:
  """A GIF of several frames."""
  frames = [picture(rng, 'L') for _ in range(3)]
  frames[0].save(path, 'GIF', save_all=True, append_images=frames[1:])


def turned(path: pathlib.Path, rng: random.Random) -> None:
  """A JPEG with a camera's mark for lying on its side."""
  from PIL import Image

  mark = Image.Exif()
  mark[0x0112] = 6
  picture(rng).save(path, 'JPEG', exif=mark)


def saved(kind: str, mode: str = 'RGB') -> Broken:
  """A good file, of a rare mode or under the ending of another format."""
  return lambda path, rng: picture(rng, mode).save(path, kind)


def written(content: bytes) -> Broken:
  """A file that is no image at all."""
  return lambda path, rng: path.write_bytes(content)


# Name -> (ending, what makes it, whether it must be refused; None: either).
BROKEN: dict[str, tuple[str, Broken, bool | None]] = {
  'cut jpeg': ('.jpg', cut('JPEG'), None),
  'cut png': ('.png', cut('PNG'), None),
  'cut gif': ('.gif', cut('GIF'), None),
  'cut bmp': ('.bmp', cut('BMP'), True),
  'noisy jpeg': ('.jpg', noise('JPEG'), None),
  'noisy png': ('.png', noise('PNG'), None),
  'noisy gif': ('.gif', noise('GIF'), None),
  'noisy webp': ('.webp', noise('WEBP'), None),
  'empty': ('.png', written(b''), True),
  'text': ('.png', written(b'not an image\n' * 9), True),
  'zeros': ('.jpg', written(bytes(4096)), True),
  'a page': ('.gif', written(b'<html><script>alert(1)</script>'), True),
  'a tiff': ('.png', saved('TIFF'), True),
  'an icon': ('.png', saved('ICO'), True),
  'postscript': ('.jpg', written(b'%!PS-Adobe-3.0 EPSF-3.0\n'), True),
  'a huge pgm': ('.pgm', written(b'P5 9000 9000 255\n'), True),
  'bomb': ('.png', bomb, True),
  'text bomb': ('.png', text_bomb, True),
  'link to itself': ('.png', link('itself'), True),
  'link to nothing': ('.png', link('nowhere.png'), True),
  'link to a device': ('.png', link('/dev/zero'), True),
  'pipe': ('.png', lambda path, rng: os.mkfifo(path), True),
  'cmyk': ('.jpg', saved('JPEG', 'CMYK'), False),
  '16 bits': ('.png', bits16, False),
  'palette': ('.png', saved('PNG', 'P'), False),
  'one bit': ('.png', lambda p, r: picture(r).convert('1').save(p), False),
  'grey and clear': ('.png', saved('PNG', 'LA'), False),
  'colour and clear': ('.png', saved('PNG', 'RGBA'), False),
  'animated': ('.gif', animated, False),
  'turned': ('.jpg', turned, False),
  'jpeg named png': ('.png', saved('JPEG'), False),
  'png named jpeg': ('.jpeg', saved('PNG'), False),
}
NAMES = (
  'z', '-', "it's", 'a b', '<b>', '$(x)', '名前', '%s', '{0}', 'a' * 200,
  'new\nline', 'z.png.', os.fsdecode(b'\xff\xfe'), '=1+1', '\u202egpj',
)  # fmt: skip


def prepare(root: pathlib.Path, rng: random.Random) -> None:
  """Makes the good images."""
  for name in ('a', 'b'):
    (root / name).mkdir(parents=True)
    for i in range(GOOD):
      picture(rng).save(root / name / f'{i}.png')


def load(root: pathlib.Path):
  """The training images as they come from the folder, before any cut."""
  from dlcore.data import folder

  return folder.read('folder', folder.find(str(root)), resize=0)


def look(
  root: pathlib.Path, kind: str, name: str, clean, rng: random.Random
) -> tuple[str, bool]:
  """Puts one odd file beside the good ones.

  Returns:
    What is wrong, '' if nothing; and whether the file was read.
  """
  from dlcore.data import DataError

  ending, make, refuse = BROKEN[kind]
  path = root / 'a' / f'{name}{ending}'
  make(path, rng)
  try:
    found = load(root)
  except DataError as error:
    text = str(error)
    if refuse is False:
      return f'is refused: {text}', False
    # A long name is shown in part.
    named = 'image' in text and repr(path.name)[1:12] in text
    if len(text) > 180 or '\n' in text or not named:
      return f'says {text}', False
    told = ['million pixels'] if kind == 'bomb' else REASONS
    if not any(reason in text for reason in told):
      return f'does not count: {text}', False
    return '', False
  finally:
    path.unlink()
  x = found.train.x
  if refuse:
    return 'is read', True
  if x.dtype != np.uint8 or x.shape != (2 * GOOD + 1, SIDE, SIDE, 3):
    return f'gives {x.dtype}{list(x.shape)}', True
  if kind == '16 bits' and not (x == 100).all(axis=(1, 2, 3)).any():
    return 'has other values', True
  # In the order of names, the odd one somewhere among those of its class.
  places = [
    i
    for i in range(GOOD + 1)
    if np.array_equal(np.delete(x, i, 0), clean.train.x)
  ]
  if not places:
    return 'changes the order of the others', True
  return '', True


def many(root: pathlib.Path, rng: random.Random) -> str:
  """Puts a number of bad files together; '' if they are counted."""
  bad = ['empty', 'text', 'zeros', 'a tiff', 'link to itself', 'pipe'] * 4
  for i, kind in enumerate(bad):
    BROKEN[kind][1](root / 'b' / f'bad-{i:02}.png', rng)
  with contextlib.chdir(root.parent):
    answer = ask('--experiment=classification', f'--dataset=folder:{root.name}')
  for i in range(len(bad)):
    (root / 'b' / f'bad-{i:02}.png').unlink()
  first = 'b/bad-00.png'
  if answer.status != 3 or answer.err.count('\n') != 1:
    return f'status {answer.status}: {answer.err[-300:]}'
  if f'{len(bad)} unreadable' not in answer.err or first not in answer.err:
    return f'says {answer.err}'
  return ''


def loops(root: pathlib.Path, clean) -> str:
  """Links folders to themselves and above; '' if that changes nothing."""
  links = [root / 'a' / 'loop', root / 'a' / 'loop.png', root / 'up']
  for path, target in zip(links, ('.', '..', '..'), strict=True):
    path.symlink_to(target)
  try:
    same = np.array_equal(load(root).train.x, clean.train.x)
    return '' if same else 'a loop of links changes what is read'
  finally:
    for path in links:
      path.unlink()


def resident() -> float:
  """The most memory this process has held, in megabytes."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drill(trials: int, folder: pathlib.Path, *patches: Patch) -> Outcome:
  """Reads so many folders, each with one odd image, and one with many."""
  rng = random.Random(0)
  root = folder / 'images'
  prepare(root, rng)
  clean = load(root)
  failures, read, held = [], Counter[str](), resident()
  kinds = [*BROKEN]
  # Not all of one kind, where there are few trials.
  order = [kinds[7 * i % len(kinds)] for i in range(trials)]
  with applied(*patches):
    for trial, kind in enumerate(order):
      name = rng.choice(NAMES) if trial % 2 else f'odd-{trial}'
      try:
        wrong, was_read = look(root, kind, name, clean, rng)
      except Exception as error:
        wrong, was_read = f'raises {error!r}', False
      read['read' if was_read else 'refused'] += 1
      if wrong:
        failures.append(f'{kind} {name!r}: {wrong}')
    for what, wrong in {
      'many': many(root, rng),
      'loops': loops(root, clean),
    }.items():
      if wrong:
        failures.append(f'{what}: {wrong}')
  growth = resident() - held
  if growth > GROWTH:
    failures.append(f'memory grew by {growth:.0f} MB')
  shutil.rmtree(root)
  figures = {'kinds': len(kinds), **read, 'memory_MB': round(growth, 1)}
  return Outcome('images', trials + 2, failures, figures)

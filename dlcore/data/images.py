"""Image files to `u8[N, H, W, C]`, by Pillow.

Grey images have one channel, all others three (red, green, blue); transparent
pixels are laid on white, 16-bit greys are scaled to 8, the first frame stands
for an animation, and a camera's orientation mark is obeyed. Pixels stay uint8
here; the training step converts them.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np

from dlcore.data.dataset import Array, DataError, names, show

if TYPE_CHECKING:
  from PIL import Image

ENDINGS = ('.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.ppm', '.pgm')
MAX_PIXELS = 64_000_000
# Pillow's names of these formats; no others are tried, whatever a file holds.
_FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'WEBP', 'PPM')
EQUAL = 'three equal channels stored as one'


def read(
  what: str,
  files: Iterable[tuple[str, str | IO[bytes]]],
  *,
  resize: int,
  shape: tuple[int, ...] = (),
) -> Array:
  """Reads image files into one array.

  Args:
    what: they belong to, for messages.
    files: pairs of what to call a file in messages, and its path or stream.
    resize: side in pixels images are resized to; 0 leaves them.
    shape: `(H, W, C)` of those a network was trained on; (): any one size.

  Returns:
    `u8[N, H, W, C]`, C = 1 if every image is grey, else 3.

  Raises:
    DataError: files that are no images, too large images, different sizes
      without `resize`, another size than that of `shape`.
  """
  from PIL import Image

  Image.init()  # Pillow cannot name a format before its plugin is loaded
  rows: list[Array] = []
  broken: list[str] = []
  first = ''
  with warnings.catch_warnings():
    # What Pillow merely warns of is beyond MAX_PIXELS; the rest is about
    # metadata that is not used.
    warnings.simplefilter('ignore')
    warnings.simplefilter('error', Image.DecompressionBombWarning)
    for label, file in files:
      try:
        image = _decode(file)
        if resize and image.size != (resize, resize):
          image = image.resize((resize, resize), Image.Resampling.BILINEAR)
        row = np.asarray(image)
      except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
          f'image {show(label)} has more than {MAX_PIXELS // 10**6} million '
          'pixels; shrink it or leave it out'
        ) from None
      except Exception:  # each of Pillow's decoders fails in its own way
        broken.append(label)
        continue
      if shape:
        check_size(f'image {show(label)}', row, shape)
      elif rows and row.shape[:2] != rows[0].shape[:2]:
        raise DataError(
          f'{what} has images of different sizes, '
          f'{_size(rows[0])} ({show(first, 40)}) and {_size(row)} '
          f'({show(label, 40)}); give --resize=64'
        )
      first = first or label
      rows.append(row)
  if broken:
    raise DataError(
      f'{what} has {len(broken)} unreadable image(s): '
      f'{names(broken, 3)}; repair or remove them'
    )
  if all(row.ndim == 2 for row in rows):
    return np.stack(rows)[..., None]
  return np.stack(
    [row if row.ndim == 3 else np.stack([row] * 3, -1) for row in rows]
  )


class Cut(NamedTuple):
  """How an image becomes an example of one size.

  Attributes:
    resize: without `crop`, the side that both sides become, 0 leaves them; with
      it, what the shorter side becomes.
    crop: side of the square that is cut out; 0: none.
  """

  resize: int
  crop: int


def one(
  what: str,
  label: str,
  file: str | IO[bytes],
  shape: tuple[int, ...],
  cut: Cut,
  draw: Sequence[int] | None = None,
) -> Array:
  """Reads one image file as an example; without a crop, as `read` does.

  Args:
    what: it belongs to, for messages.
    label: what to call it in messages.
    file: path or stream.
    shape: `(H, W, C)` of the example, C 1 or 3.
    cut: how it gets that size.
    draw: whole numbers that decide where it is cut and whether it is mirrored;
      None: cut from the middle, not mirrored.

  Returns:
    `u8[H, W, C]`.

  Raises:
    DataError: what is no image, is too large, or has another size.
  """
  from PIL import Image

  resized = Image.Resampling.BILINEAR
  try:
    image = _decode(file)
    if cut.crop:
      # Never less than the crop, whatever the rounding.
      sides = [
        max(round(side * cut.resize / min(image.size)), cut.crop)
        for side in image.size
      ]
      if image.size != (*sides,):
        image = image.resize((sides[0], sides[1]), resized)
      image = _cropped(image, cut.crop, draw)
    elif cut.resize and image.size != (cut.resize, cut.resize):
      image = image.resize((cut.resize, cut.resize), resized)
    row = np.asarray(image)
  except Exception as error:  # each of Pillow's decoders fails in its own way
    large = isinstance(error, Image.DecompressionBombError)
    why = (
      f'has more than {MAX_PIXELS // 10**6} million pixels; shrink it'
      if large
      else 'is unreadable; repair it'
    )
    raise DataError(
      f'{what}: image {show(label)} {why}, or leave it out'
    ) from None
  if row.shape[:2] != shape[:2]:
    raise DataError(
      f'{what} has images of different sizes, {shape[1]}x{shape[0]} and '
      f'{_size(row)} ({show(label, 40)}); give --resize=64'
    )
  row = row[..., None] if row.ndim == 2 else row
  return row if row.shape[-1] == shape[-1] else same_channels(row, shape[-1])


def _cropped(
  image: 'Image.Image', side: int, draw: Sequence[int] | None
) -> 'Image.Image':
  from PIL import Image

  free = [length - side for length in image.size]
  if draw is None:
    left, top = (length // 2 for length in free)
    return image.crop((left, top, left + side, top + side))
  chance = np.random.default_rng(draw)
  left, top, mirrored = chance.integers(0, [free[0] + 1, free[1] + 1, 2])
  image = image.crop((left, top, left + side, top + side))
  if mirrored:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  return image


def header(file: str | IO[bytes]) -> tuple[int, int, int]:
  """Reads what is said of an image before its pixels.

  Args:
    file: path or stream.

  Returns:
    (H, W, C) as `_decode` would give them; zeros for what is no image.
  """
  from PIL import Image

  if isinstance(file, str) and not os.path.isfile(file):
    return 0, 0, 0  # opening a pipe would wait for ever
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')
      with Image.open(file, formats=_FORMATS) as opened:
        width, height = opened.size
        turned = opened.getexif().get(0x0112, 1) >= 5
        grey = opened.mode in ('1', 'L') or opened.mode.startswith('I')
  except Exception:
    return 0, 0, 0
  sides = (width, height) if turned else (height, width)
  return (*sides, 1 if grey else 3)


def resize_all(x: Array, side: int) -> Array:
  """Resizes images that are already an array.

  Args:
    x: `u8[N, H, W, C]`, any C.
    side: of the result in pixels.

  Returns:
    `u8[N, side, side, C]`, bilinear, area-averaged when it shrinks.
  """
  from PIL import Image

  if x.shape[1:3] == (side, side):
    return x
  y = np.empty((len(x), side, side, x.shape[3]), np.uint8)
  for image, out in zip(x, y, strict=True):
    for c in range(x.shape[3]):
      plane = Image.fromarray(np.ascontiguousarray(image[..., c]))
      small = plane.resize((side, side), Image.Resampling.BILINEAR)
      out[..., c] = np.asarray(small)
  return y


def grey(x: Array) -> bool:
  """Says whether three channels are equal in all pixels.

  Args:
    x: `u8[N, H, W, C]`.

  Returns:
    Whether one channel would hold the same.
  """
  # The first image decides nearly always, without a pass over the others.
  return x.shape[-1] == 3 and all(
    np.array_equal(part[..., 0], part[..., c])
    for part in (x[:1], x)
    for c in (1, 2)
  )


def same_channels(x: Array, channels: int) -> Array:
  """Brings images to 1 or 3 channels; of three equal ones, the first is kept.

  Args:
    x: `u8[N, H, W, C]`, C 1 or 3.
    channels: 1 or 3.

  Returns:
    `u8[N, H, W, channels]`.
  """
  if x.shape[-1] == channels:
    return x
  if channels == 1:
    return np.ascontiguousarray(x[..., :1])
  return np.repeat(x, channels, axis=-1)


def check_size(what: str, image: Array, shape: tuple[int, ...]) -> None:
  """Refuses an image of another size than those of training.

  Args:
    what: to call it in the message.
    image: `u8[H, W, ...]`.
    shape: `(H, W, C)` of those the network was trained on.

  Raises:
    DataError: the sizes differ.
  """
  if image.shape[:2] != shape[:2]:
    side = f'or train with --resize={shape[0]}'
    raise DataError(
      f'{what} is {_size(image)}; the run was trained on images of '
      f'{shape[1]}x{shape[0]}: resize it'
      + (f', {side}' if shape[0] == shape[1] else '')
    )


def fit_channels(x: Array, labels: Sequence[str], channels: int) -> Array:
  """Brings images to the channels of training, where nothing gets lost.

  Args:
    x: `u8[N, H, W, C]`.
    labels: N texts to call the images in messages.
    channels: of those the network was trained on.

  Returns:
    `u8[N, H, W, channels]`: grey images with three equal channels where three
    are wanted, and the reverse.

  Raises:
    DataError: an image in colour where grey ones are expected, or another
      number of channels.
  """
  have = x.shape[-1]
  if have == channels:
    return x
  if (have, channels) == (1, 3) or (channels == 1 and grey(x)):
    return same_channels(x, channels)
  if (have, channels) == (3, 1):
    colour = next(i for i in range(len(x)) if not grey(x[i : i + 1]))
    raise DataError(
      f'{labels[colour]} is in colour; the run was trained on grey images: '
      'convert it to grey'
    )
  raise DataError(
    f'{labels[0]} has {have} channel(s); the run was trained on images with '
    f'{channels}'
  )


def _decode(file: str | IO[bytes]) -> 'Image.Image':
  from PIL import Image, ImageOps

  if isinstance(file, str) and not os.path.isfile(file):
    raise OSError('no file')  # opening a pipe would wait for ever
  with Image.open(file, formats=_FORMATS) as opened:
    if opened.width * opened.height > MAX_PIXELS:
      raise Image.DecompressionBombError
    # In place: a copy of every image is a third of the time.
    ImageOps.exif_transpose(opened, in_place=True)
    opened.load()
    image: Image.Image = opened
  if image.mode == 'L':
    return image
  if image.mode == '1':
    return image.convert('L')
  if image.mode.startswith('I'):
    wide = np.clip(np.asarray(image, np.int64), 0, 65535)
    return Image.fromarray(np.rint(wide / 257).astype(np.uint8))
  if image.has_transparency_data:
    image = image.convert('RGBA')
    white = Image.new('RGBA', image.size, 'white')
    return Image.alpha_composite(white, image).convert('RGB')
  return image if image.mode == 'RGB' else image.convert('RGB')


def _size(row: Array) -> str:
  return f'{row.shape[1]}x{row.shape[0]}'

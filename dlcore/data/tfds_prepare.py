"""Preparing a TFDS set that is not there yet: download, write, clean up."""

import contextlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from dlcore.data.dataset import DataError, show


def prepare(name: str, builder: Any) -> None:
  """Downloads a set and writes it as array_record, or leaves no trace.

  Args:
    name: of the set, for messages.
    builder: TFDS's builder of a set that is not prepared.

  Raises:
    DataError: the set cannot be downloaded or written.
  """
  place = str(builder.data_path)
  root = os.path.normpath(place.removesuffix(builder.info.full_name))
  _reach(name, builder, root)
  with _leaving_no_trace(root, builder.name, place):
    try:
      builder.download_and_prepare(file_format='array_record')
    except ImportError as error:
      raise DataError(
        f'dataset {show(name)} is not in {root}, and TFDS cannot prepare it '
        f'without {error.name or "TensorFlow"}; where that is installed, run '
        f'tfds build {name} --file_format=array_record'
      ) from None
    except Exception as error:  # whatever the set's own code raises
      raise DataError(
        f'dataset {show(name)} is not in {root} and cannot be prepared there '
        f'({show(str(error), 80)}); give --data_dir, or choose digits'
      ) from None


def _reach(name: str, builder: Any, root: str) -> None:
  """Fails at once without a network; TFDS would try for minutes."""
  hosts: dict[str, str] = {}
  for url in builder.url_infos or {}:
    if url.startswith('http'):
      hosts.setdefault(urlsplit(url).netloc, url)
  reason: object = ''
  for url in list(hosts.values())[:3]:
    try:
      with urllib.request.urlopen(url, timeout=10):
        return
    except urllib.error.HTTPError:
      return  # it answered
    except (OSError, ValueError) as error:
      reason = getattr(error, 'reason', error)
  if hosts:
    raise DataError(
      f'dataset {show(name)} is not in {root} and cannot be downloaded '
      f'({show(str(reason))}); give --data_dir, or choose digits'
    )


@contextlib.contextmanager
def _leaving_no_trace(root: str, name: str, place: str) -> Iterator[None]:
  """On an error, removes what was written inside this context."""
  downloads = os.path.join(root, 'downloads')
  tops = (os.path.join(root, name), os.path.join(downloads, name))

  def folders() -> list[str]:
    below = [d for top in tops for d, _, _ in os.walk(top, topdown=False)]
    extracted = os.path.join(downloads, 'extracted')
    return [d for d in (*below, extracted, downloads, root) if os.path.isdir(d)]

  before = set(folders())
  try:
    yield
  except BaseException:
    for folder in folders():
      half = folder == place or '.tmp.' in os.path.basename(folder)
      if folder in before:
        continue
      if half:
        shutil.rmtree(folder, ignore_errors=True)
      else:  # finished downloads are kept for the next try
        with contextlib.suppress(OSError):
          os.rmdir(folder)
    raise

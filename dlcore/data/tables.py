"""Tables in csv files: a header line, one column a feature, one the target.

Numeric columns are features as they are; a column of up to 20 different words
becomes one column of 0 and 1 for each word. Nothing is guessed for a missing
value.
"""

import csv
import difflib
import math
import os
from collections.abc import Sequence

import numpy as np

from dlcore.data.dataset import DataError, Source, Split, names, show

WORDS = 20  # most different words in a feature column
VALUES = 10  # a target of more different numbers than this is for regression
_MISSING = ('', 'na', 'n/a', 'nan', 'null', 'none', '?')


def read(name: str, path: str, *, target: str, task: str) -> Source:
  """Reads a csv file.

  Args:
    name: of the set, for messages.
    path: the file; separated by commas, semicolons or tabs.
    target: the column to predict.
    task: 'classification', 'regression', or 'any': regression if the target
      has more than 10 different numbers.

  Returns:
    Its examples, columns not yet standardised.

  Raises:
    DataError: there is no such file or column, a value is missing or not
      finite, or a column of words has too many different ones.
  """
  header, lines, rows = _rows(path)
  if target not in header:
    close = difflib.get_close_matches(target, header, 1, 0.5)
    guess = f'; did you mean {show(close[0])}?' if target and close else ''
    raise DataError(
      (
        f'{show(path)} has no column {show(target)}{guess}'
        if target
        else f'{show(path)} needs --target=COLUMN'
      )
      + f'; its columns are {names(header, 12)}'
    )
  columns, feature_names = [], []
  for i, column in enumerate(header):
    words = _words(path, column, lines, [row[i] for row in rows])
    numbers = _numbers(path, column, lines, words)
    if column == target:
      y, class_names = _target(path, target, words, numbers, task)
    elif numbers is not None:
      columns.append(numbers)
      feature_names.append(column)
    else:
      kinds = sorted(set(words))
      if len(kinds) > WORDS:
        raise DataError(
          f'{show(path)}: column {show(column)} has {len(kinds)} different '
          f'words, such as {names(kinds, 2)}; at most {WORDS}, or only numbers:'
          ' remove the column or repair it'
        )
      columns += [np.array([w == k for w in words], float) for k in kinds]
      feature_names += [f'{column}={k}' for k in kinds]
  if not columns:
    raise DataError(
      f'{show(path)} has no column but {show(target)}; add at least one feature'
    )
  return Source(
    'classification' if class_names else 'regression',
    Split(np.stack(columns, 1), y),
    None,
    class_names=class_names,
    feature_names=tuple(feature_names),
    target_names=() if class_names else (target,),
    standardise=True,
  )


def encode(path: str, feature_names: Sequence[str]) -> np.ndarray:
  """Reads the columns of a csv file that a network was trained on.

  Args:
    path: the file; its columns may be in another order, and more.
    feature_names: as `read` gave them, 'column' or 'column=word'.

  Returns:
    `f64[N, D]`, columns not standardised.

  Raises:
    DataError: what `read` raises of a file; a column is missing, a word was
      not met in training or stands where numbers are expected.
  """
  header, lines, rows = _rows(path)
  origins = [_origin(name, header, feature_names) for name in feature_names]
  missing = [c for c in dict.fromkeys(origins) if c not in header]
  if missing:
    close = difflib.get_close_matches(missing[0], header, 1, 0.7)
    guess = f'; is {show(close[0])} meant for it?' if close else ''
    raise DataError(
      f'{show(path)} lacks the column(s) {names(missing)} of training{guess}; '
      f'its columns are {names(header, 12)}'
    )
  columns = []
  for column in dict.fromkeys(origins):
    i = header.index(column)
    words = _words(path, column, lines, [row[i] for row in rows])
    if column in feature_names:
      numbers = _numbers(path, column, lines, words)
      if numbers is None:
        line, word = next(
          pair
          for pair in zip(lines, words, strict=True)
          if not _is_number(pair[1])
        )
        raise DataError(
          f'{show(path)}: column {show(column)} is {show(word)} in line {line};'
          ' the run was trained on numbers there'
        )
      columns.append(numbers)
      continue
    known = [
      name.removeprefix(f'{column}=')
      for name, origin in zip(feature_names, origins, strict=True)
      if origin == column
    ]
    for line, word in zip(lines, words, strict=True):
      if word not in known:
        raise DataError(
          f'{show(path)}: column {show(column)} is {show(word)} in line {line};'
          f' the run was trained on {names(known, 12)}'
        )
    columns += [np.array([w == k for w in words], float) for k in known]
  return np.stack(columns, 1)


def _origin(name: str, header: list[str], feature_names: Sequence[str]) -> str:
  """The column that a feature is made from, which may itself hold '='."""
  if name in header:
    return name
  usual = name.partition('=')[0]
  for column in (*sorted(header, key=len, reverse=True), usual):
    if name.startswith(f'{column}=') and column not in feature_names:
      return column
  return name


def _words(
  path: str, column: str, lines: list[int], words: list[str]
) -> list[str]:
  """The column as it is; refuses a missing value."""
  for line, word in zip(lines, words, strict=True):
    if word.lower() in _MISSING:
      raise DataError(
        f'{show(path)}: column {show(column)} has no value in line {line}; '
        'fill it in or remove the line'
      )
  return words


def _rows(path: str) -> tuple[list[str], list[int], list[list[str]]]:
  """The header, and each row with its line number in the file."""
  file = os.path.expanduser(path)
  if not os.path.isfile(file):
    raise DataError(f'csv file {show(path)} does not exist; check the path')
  header: list[str] = []
  lines, rows = [], []
  try:
    with open(file, encoding='utf-8-sig', newline='') as stream:
      first = stream.readline()
      mark = max(',;\t', key=first.count)
      stream.seek(0)
      reader = csv.reader(stream, delimiter=mark, skipinitialspace=True)
      for row in reader:
        row = [value.strip() for value in row]
        if not any(row):
          continue
        if not header:
          header = row
          continue
        if len(row) != len(header):
          raise DataError(
            f'{show(path)}: line {reader.line_num} has {len(row)} values, the '
            f'header {len(header)}; repair the line'
          )
        lines.append(reader.line_num)
        rows.append(row)
  except (OSError, UnicodeDecodeError, csv.Error) as error:
    raise DataError(
      f'{show(path)} cannot be read as a csv file in UTF-8 '
      f'({show(str(error))}); repair it'
    ) from None
  twice = sorted({c for c in header if header.count(c) > 1})
  if twice:
    raise DataError(
      f'{show(path)} has several columns called {names(twice)}; rename them'
    )
  if not rows:
    raise DataError(f'{show(path)} has no rows below a header; add some')
  return header, lines, rows


def _numbers(
  path: str, column: str, lines: list[int], words: list[str]
) -> np.ndarray | None:
  """The column as numbers, or None if a value is a word."""
  try:
    numbers = [float(word) for word in words]
  except ValueError:
    return None
  for line, number in zip(lines, numbers, strict=True):
    # Beyond float32, the arrays' type, a number would become infinite.
    if not abs(number) <= float(np.finfo(np.float32).max):
      raise DataError(
        f'{show(path)}: column {show(column)} is {number} in line {line}; '
        'expected a finite number'
      )
  return np.array(numbers)


def _target(
  path: str,
  target: str,
  words: list[str],
  numbers: np.ndarray | None,
  task: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The target as numbers without names, or as labels with class names."""
  if numbers is None and task == 'regression':
    word = next(w for w in words if not _is_number(w))
    raise DataError(
      f'{show(path)}: target {show(target)} holds words such as {show(word)}; '
      'choose a column of numbers, or a classification experiment'
    )
  if numbers is None:
    found, y = np.unique(np.array(words), return_inverse=True)
    return y.astype(np.int32), tuple(str(k) for k in found)
  found, y = np.unique(numbers, return_inverse=True)
  if task == 'regression' or (task == 'any' and len(found) > VALUES):
    return numbers[:, None], ()
  return y.astype(np.int32), tuple(f'{k:.15g}' for k in found)


def _is_number(word: str) -> bool:
  try:
    return math.isfinite(float(word))
  except ValueError:
    return False

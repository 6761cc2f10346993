"""Pictures of a training run: its curves."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from matplotlib.figure import Figure

from dlcore.visualize._look import (
  INK,
  PALETTE,
  REST,
  _figure,
  _label,
  _legend,
)

GREY = '#808080'


MOST_SETTINGS = 8


MOST_PANELS = 12


def curves(
  rows: Sequence[Mapping[str, Any]],
  *,
  metrics: Sequence[str] | None = None,
  by: Sequence[str] | None = None,
) -> 'Figure':
  """Draws metrics over epochs: a panel per metric, a colour per setting.

  Lines are means over the seeds with a value for the epoch, shades reach from
  the lowest to the highest; the title counts runs that ended early. Training is
  dashed, validation solid. A loss that spans more than a factor of 100 gets a
  logarithmic axis.

  Args:
    rows: objects of `metrics.jsonl`: 'epoch', 'seed', the swept values by name,
      and metrics such as 'validation/loss'. None, NaN and infinity are gaps.
    metrics: names after the slash, such as 'loss', in the order of the panels.
      Default: all, the loss first; six are shown.
    by: names of the swept values. Default: all keys without a slash, apart from
      'epoch', 'step' and 'seed'. The first eight settings to appear get
      colours, the others are grey.

  Returns:
    A figure of at most six panels.

  Raises:
    ValueError: without rows, or for a name that no row has.

  References:
    Lecture 2 (stop when the validation error starts increasing).
  """
  from matplotlib.lines import Line2D
  from matplotlib.ticker import MaxNLocator

  if not rows:
    raise ValueError('rows: expected at least one epoch, got none')
  keys = list(dict.fromkeys(key for row in rows for key in row))
  if by is None:
    known = ('epoch', 'step', 'seed')
    by = [key for key in keys if '/' not in key and key not in known]
  families: dict[str, list[str]] = {}
  for key in keys:
    if '/' in key:
      families.setdefault(key.split('/', 1)[1], []).append(key)
  if metrics is None:
    metrics = sorted(families, key=lambda name: name != 'loss')[:MOST_PANELS]
  if not 0 < len(metrics) <= MOST_PANELS:
    raise ValueError(f'metrics: expected 1 to 6 names, got {len(metrics)}')
  _known('metrics', metrics, list(families))
  _known('by', ['epoch', 'seed', *by], keys)

  epochs, seeds, settings, values = _gather(
    rows, by, [key for name in metrics for key in families[name]]
  )
  across = min(len(metrics), 3) if len(metrics) < 7 else 4
  down = math.ceil(len(metrics) / across)
  figure, axes = _figure(down, across, (1.5 + 3.6 * across, 1.2 + 3 * down))
  styles: dict[str, dict[str, Any]] = {}
  for ax, name in zip(axes, metrics, strict=False):
    _label(ax, name, 'epoch', '')
    for key in families[name]:
      split = key.split('/', 1)[0]
      styles[split] = {
        'linestyle': {'train': '--', 'validation': '-'}.get(split, ':'),
        'marker': 'o' if len(epochs) <= 10 else '',
        'markersize': 4,
        'markerfacecolor': 'white' if split == 'train' else None,
      }
      # The coloured ones come last, on top of the grey ones.
      for s in reversed(range(len(settings))):
        table = np.ma.masked_invalid(values[key][s])
        mean = table.mean(axis=0).filled(np.nan)
        first = s < MOST_SETTINGS
        colour, lw = (PALETTE[s], 1.4) if first else (REST, 0.7)
        ax.plot(epochs, mean, color=colour, lw=lw, **styles[split])
        if len(seeds) > 1 and first:
          low, high = table.min(axis=0), table.max(axis=0)
          ax.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
    finite = np.concatenate([values[key].ravel() for key in families[name]])
    finite = finite[np.isfinite(finite)]
    if not finite.size:
      ax.text(0.5, 0.5, 'no finite value', ha='center', transform=ax.transAxes)
    elif name == 'loss' and 0 < 100 * finite.min() < finite.max():
      ax.set_yscale('log')
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(epochs) == 1:
      ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
  for ax in axes[len(metrics) :]:
    ax.remove()

  handles = [Line2D([], [], color=GREY, **style) for style in styles.values()]
  labels = [{'train': 'training'}.get(split, split) for split in styles]
  if by:
    for setting, colour in zip(settings, PALETTE[:MOST_SETTINGS], strict=False):
      handles.append(Line2D([], [], color=colour))
      labels.append(', '.join(map(_assignment, by, setting)))
  if len(settings) > MOST_SETTINGS:
    handles.append(Line2D([], [], color=REST))
    labels.append(f'{len(settings) - MOST_SETTINGS} more settings')
  _legend(figure, handles, labels)
  notes = ['one seed']
  if len(seeds) > 1:
    notes = [f'mean of {len(seeds)} seeds, shade from lowest to highest']
  ran = np.isfinite(np.stack(list(values.values()))).any(axis=0)
  early = int((ran.any(axis=-1) & ~ran[..., -1]).sum())
  if early:
    notes.append(f'{early} of {ran[..., 0].size} runs ended early')
  if len(metrics) < len(families):
    notes.append(f'{len(families) - len(metrics)} more metrics not shown')
  figure.suptitle('; '.join(notes), fontsize=10, color=INK)
  return figure


def _assignment(name: str, value: Any) -> str:
  """Writes a swept value as its flag."""
  return f'{name}={value:g}' if isinstance(value, float) else f'{name}={value}'


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
  """Refuses names that no row has."""
  for name in names:
    if name not in known:
      raise ValueError(f'{what}: expected names out of {known}, got {name!r}')


def _gather(
  rows: Sequence[Mapping[str, Any]], by: Sequence[str], keys: Sequence[str]
) -> tuple[list[int], list[int], list[tuple], dict[str, np.ndarray]]:
  """Finds epochs, seeds and settings, and f64[settings, seeds, epochs] by key.

  What is missing or not finite is NaN.
  """
  epochs = sorted({row['epoch'] for row in rows})
  seeds = sorted({row['seed'] for row in rows})
  settings = list(dict.fromkeys(tuple(row.get(n) for n in by) for row in rows))
  shape = (len(settings), len(seeds), len(epochs))
  values = {key: np.full(shape, np.nan) for key in keys}
  s_of, r_of, e_of = (
    {name: i for i, name in enumerate(names)}
    for names in (settings, seeds, epochs)
  )
  for row in rows:
    setting = tuple(row.get(name) for name in by)
    at = s_of[setting], r_of[row['seed']], e_of[row['epoch']]
    for key in keys:
      value = row.get(key)
      if value is not None and math.isfinite(value):
        values[key][at] = value
  return epochs, seeds, settings, values

"""How far a run has come, on the screen."""

import sys
import time
from typing import Any

import numpy as np
from tqdm import tqdm

PLAIN_SECONDS = 2.0  # between two lines where there is no terminal


class Progress:
  """A progress bar with the time left; plain lines where there is no terminal.

  The one object with a state in the package: it stands for the screen.
  """

  def __init__(self, epochs: int, done: float):
    """Starts the clock at `done` epochs."""
    self.epochs, self.first = epochs, done
    self.start = self.shown = time.perf_counter()
    self.text = ''
    self.bar = None
    if sys.stderr.isatty():
      self.bar = tqdm(
        total=epochs,
        initial=done,
        dynamic_ncols=True,
        bar_format='{desc}{percentage:3.0f}%|{bar}| {n:.4g}/{total} epochs '
        '[{elapsed}<{remaining}{postfix}]',
      )

  def show(self, done: float, found: list[dict[str, Any]]) -> None:
    """Shows the means over the runs of the last epoch."""
    if found:
      last = [row for row in found if row['epoch'] == found[-1]['epoch']]
      losses = [n for n in last[0] if n.endswith('/loss')]
      others = [
        n for n in last[0] if n.startswith('validation/') and n not in losses
      ]
      self.text = '  '.join(
        f'{n} {np.mean([row[n] for row in last]):.4g}'
        for n in [*losses, *others][:4]
      )
    if self.bar is not None:
      self.bar.set_postfix_str(self.text, refresh=False)
      self.bar.update(done - self.bar.n)
      return
    now = time.perf_counter()
    if done < self.epochs and now - self.shown < PLAIN_SECONDS:
      return
    self.shown = now
    left = (now - self.start) / (done - self.first) * (self.epochs - done)
    end = '' if done >= self.epochs else f'  {left:.0f} s left'
    print(f'epoch {done:.4g}/{self.epochs}  {self.text}{end}', flush=True)

  def close(self) -> None:
    """Leaves the screen in order."""
    if self.bar is not None:
      self.bar.close()

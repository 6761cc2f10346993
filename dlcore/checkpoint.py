"""Saving and restoring the state of every run, with orbax.

A checkpoint holds one pytree, the stacked `train.State` of all runs, under
`<workdir>/checkpoint/<epoch>`.
"""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

from dlcore.config import UsageError

KEEP = 2


def manager(folder: pathlib.Path) -> ocp.CheckpointManager:
  """Opens the checkpoints of a run; close it, or use it in `with`.

  Args:
    folder: `<workdir>/checkpoint`, made if need be.

  Returns:
    An orbax manager that keeps the newest two.
  """
  return ocp.CheckpointManager(
    folder.absolute(),
    options=ocp.CheckpointManagerOptions(
      max_to_keep=KEEP, enable_async_checkpointing=False
    ),
  )


def save(checkpoints: ocp.CheckpointManager, epoch: int, states: Any) -> None:
  """Saves the states under an epoch.

  Args:
    checkpoints: from `manager`.
    epoch: epochs done; above the newest saved one.
    states: the pytree.

  Raises:
    RuntimeError: if orbax refuses without an error, as it does for an epoch
      that is not the newest.
  """
  if not checkpoints.save(epoch, args=ocp.args.StandardSave(states)):
    raise RuntimeError(f'checkpoint of epoch {epoch} was not saved')


def restore(folder: pathlib.Path, template: Any) -> tuple[int, Any]:
  """Restores the newest states.

  Args:
    folder: `<workdir>/checkpoint`.
    template: a pytree of `jax.ShapeDtypeStruct` like the saved one.

  Returns:
    The epoch, and the states.

  Raises:
    UsageError: if there is no checkpoint, or it holds other shapes.
  """
  if not folder.is_dir():
    raise UsageError(
      f'{folder}: no checkpoint there; train with --workdir first'
    )
  with manager(folder) as checkpoints:
    epoch = checkpoints.latest_step()
    if epoch is None:
      raise UsageError(f'{folder}: no finished checkpoint; train first')
    states = checkpoints.restore(epoch, args=ocp.args.StandardRestore(template))
  # orbax casts silently where a type differs.
  saved = jax.tree.map(lambda a: (a.shape, a.dtype), states)
  expected = jax.tree.map(lambda a: (a.shape, a.dtype), template)
  if saved != expected:
    raise UsageError(f'{folder}: the checkpoint is of another model')
  return epoch, states

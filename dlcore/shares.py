"""Examples that are read where they are wanted: each process reads its own.

A batch lies cut along `data` on the devices of a mesh; where it does not divide
it is copied to all of them. A process reads what its own devices hold. Without
a mesh there is one process, which reads everything.
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dlcore.data import Split
from dlcore.data.lazy import Lazy


def _where(on: Mesh | None, size: int, lead: int = 0) -> NamedSharding | None:
  """Says how an axis of `size` examples lies, after `lead` other axes."""
  if on is None:
    return None
  even = size % on.shape['data'] == 0
  axes = (*(None,) * lead, 'data') if even else ()
  return NamedSharding(on, PartitionSpec(*axes))


def own(on: Mesh | None, size: int) -> np.ndarray:
  """Lists which examples of a batch this process reads.

  Args:
    on: from `mesh.choose`.
    size: examples of the batch.

  Returns:
    i[n], increasing; those of all processes together are every one.
  """
  where, every = _where(on, size), np.arange(size)
  if where is None:
    return every
  parts = where.addressable_devices_indices_map((size,)).values()
  return np.unique(np.concatenate([every[part] for part in parts]))


def abstract(split: Split, on: Mesh | None, *lead: int) -> Split:
  """Describes examples of a split as `put` gives them.

  Args:
    split: a split, x perhaps a `lazy.Lazy`.
    on: from `mesh.choose`; None: on one device, or the same on all of them.
    *lead: the axes of the examples; the last is that of a batch.

  Returns:
    Shapes and dtypes, and where they lie.
  """
  where = _where(on, lead[-1], len(lead) - 1)
  return jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(
      (*lead, *a.shape[1:]), a.dtype, sharding=where
    ),
    Split(split.x, split.y),
    is_leaf=lambda a: isinstance(a, Lazy),
  )


def put(split: Split, on: Mesh | None, *lead: int) -> Split:
  """Puts examples on the devices.

  Args:
    split: NumPy arrays; of the last axis of `lead` there is what `own` lists.
    on: from `mesh.choose`.
    *lead: as in `abstract`.

  Returns:
    The arrays on the devices of all processes.
  """
  where = _where(on, lead[-1], len(lead) - 1)
  if where is None:
    return jax.device_put(split)

  def one(a: Any) -> jax.Array:
    return jax.make_array_from_process_local_data(
      where, a, (*lead, *a.shape[len(lead) :])
    )

  return jax.tree.map(one, split)

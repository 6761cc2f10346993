"""Wrong calls made of right ones: each argument in turn of another shape.

The right calls are those that the laws of losses and metrics are tested on.
"""

import jax.numpy as jnp

from wrong_input import Wrong, array, dtype, rank

KINDS = {'bool': jnp.bool, 'int': jnp.integer, 'float': jnp.floating}


def mutants(*args, alike=False, any_rank=(), any_dtype=(), first=0, **options):
  """Gives each argument one axis more, and then another dtype.

  Args:
    *args: of a right call.
    alike: whether arrays are compared with each other: any rank will do.
    any_rank: places of arguments that take more than one rank.
    any_dtype: places of arguments that take more than one dtype.
    first: place of the first argument to be changed.
    **options: of the right call.

  Returns:
    The wrong calls.
  """
  found = []
  specs = [array(*a.shape, dtype=a.dtype) for a in args[first:]]
  right = [*args[:first], *specs]
  for i, a in enumerate(right):
    if i < first:
      continue
    kind = next(k for k, d in KINDS.items() if jnp.issubdtype(a.dtype, d))
    longer = array(1, *a.shape, dtype=a.dtype)
    says = rank(a.ndim, *longer.shape)
    if alike:
      says = 'different shapes', str(longer.shape)
    other = 'int32' if kind == 'float' else 'float32'
    retyped = array(*a.shape, dtype=jnp.dtype(other))
    changes = [] if i in any_rank else [(longer, says)]
    if i not in any_dtype:
      changes.append((retyped, dtype(kind, other)))
    for change, says in changes:
      wrong = (*right[:i], change, *right[i + 1 :])
      found.append(Wrong(wrong, options, says, None))
  return found

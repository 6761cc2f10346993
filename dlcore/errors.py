"""How a run may end but by being done: one line, and an exit status each."""


class Ended(Exception):
  """A run ends early for a reason the user can act on, told in one line.

  Attributes:
    status: exit status of the process.
  """

  status = 1

  def __init__(self, message: str):
    super().__init__(' '.join(message.split()))


class UsageError(Ended):
  """A flag's value cannot work."""

  status = 2


class DataError(Ended):
  """Something is wrong with a dataset."""

  status = 3


class CheckpointError(Ended):
  """There are checkpoints, but none that is good."""

  status = 4


class Diverged(Ended):
  """Every run has diverged."""

  status = 5


class Busy(Ended):
  """Another process writes to the same folder."""

  status = 6


class DiskError(Ended):
  """The disk is full or cannot be written."""

  status = 7


class Lost(Ended):
  """Another process of a distributed run has ended, or never came."""

  status = 8


class Interrupted(Ended):
  """A signal ended the run, after its state was saved.

  Args:
    message: one line.
    number: of the signal.
  """

  def __init__(self, message: str, number: int):
    super().__init__(message)
    self.status = 128 + number

"""Datasets on the host, as NumPy arrays: `load(name)` gives a `Dataset`.

No JAX is imported here, so that what is wrong with the data is said at once.
"""

from dlcore.data.dataset import DataError as DataError
from dlcore.data.dataset import Dataset as Dataset
from dlcore.data.dataset import Spec as Spec
from dlcore.data.dataset import Split as Split
from dlcore.data.dataset import fingerprint as fingerprint
from dlcore.data.loading import load as load
from dlcore.data.splits import by_classes as by_classes

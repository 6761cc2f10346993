"""What every run imports: imported once, by the server that runs fork off."""

import importlib
import pkgutil

import sklearn.datasets  # noqa: F401

import dlcore
import dlcore.data.loading
import experiments
import launch  # noqa: F401

for package in (dlcore, experiments):
  for module in pkgutil.iter_modules(package.__path__):
    importlib.import_module(f'{package.__name__}.{module.name}')

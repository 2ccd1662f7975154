"""Pictures and boxes on their way to the network: data sets, transforms, batches, loaders.

Importing this package registers every data set, every transform, ``Collate2D`` and the adapter of
``torch.utils.data.DataLoader``.
"""

from hatlite.data import datasets, transforms
from hatlite.data.collate import Collate2D
from hatlite.data.loader import EpochLoader, build_data_loader, set_epoch

__all__ = ["Collate2D", "EpochLoader", "build_data_loader", "datasets", "set_epoch", "transforms"]

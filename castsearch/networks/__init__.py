"""Networks run here, for faces, bodies and persons: on a device, at a precision, by the library that is best at it.

``find_place`` says where, ``open_network`` makes a network file ready, ``open_checkpoint`` an MXNet checkpoint.
"""

from castsearch.networks.checkpoints import open_checkpoint
from castsearch.networks.errors import CheckpointError, DeviceError, NetworkError, PrecisionError
from castsearch.networks.network import Network, Port, Ran, open_network
from castsearch.networks.places import PRECISIONS, Place, Precision, find_place

__all__ = [
    "PRECISIONS",
    "CheckpointError",
    "DeviceError",
    "Network",
    "NetworkError",
    "Place",
    "Port",
    "Precision",
    "PrecisionError",
    "Ran",
    "find_place",
    "open_checkpoint",
    "open_network",
]

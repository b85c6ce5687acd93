"""The errors of this folder."""

from castsearch.errors import CastSearchError


class NetworkError(CastSearchError):
    """A network file that is missing, damaged, or cannot do what is asked."""


class CheckpointError(NetworkError):
    """A checkpoint that is missing, damaged, or holds what its reader does not know."""


class DeviceError(NetworkError):
    """A GPU was asked for that is not there, or does not run the network."""


class PrecisionError(NetworkError):
    """A precision that the machine does not have, or that a network does not bear."""

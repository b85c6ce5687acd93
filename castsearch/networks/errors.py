"""The errors of this folder."""

from pathlib import Path

from castsearch.errors import CastSearchError, one_line


class NetworkError(CastSearchError):
    """A network file that is missing, damaged, or cannot do what is asked."""


class CheckpointError(NetworkError):
    """A checkpoint that is missing, damaged, or holds what its reader does not know."""


class DeviceError(NetworkError):
    """A GPU was asked for that is not there, or does not run the network."""


class PrecisionError(NetworkError):
    """A precision that the machine does not have, or that a network does not bear."""


def cannot_run(path: Path, error: object) -> NetworkError:
    """What to say of a network that stopped while it ran."""
    memory = "alloc" in str(error).lower()
    mend = "free memory, or choose smaller scales or fewer at once" if memory else "get it again"
    return NetworkError(f"{path}: the network cannot be run ({one_line(error)}); {mend}")

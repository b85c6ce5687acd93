"""Cast search by portrait: rank every person box of a movie for every cast member.

The command-line scripts in the project's root are thin shells over this package; see README.md.
"""

import os

from castsearch.errors import CastSearchError

# ONNX Runtime notes its uses, with a number to know the machine by, and sends them to its makers, unless it is told so.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["CastSearchError"]
__version__ = "1.0.0"

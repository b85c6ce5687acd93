"""Cast search by portrait: rank every person box of a movie for every cast member.

The command-line scripts in the project's root are thin shells over this package; see README.md.
"""

from castsearch.errors import CastSearchError

__all__ = ["CastSearchError"]
__version__ = "1.0.0"

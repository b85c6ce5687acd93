"""What a ranking looks like."""

from castsearch.gallery.strip import GalleryError, Shown, Strip, Verdict, cast_strip, strip

__all__ = ["GalleryError", "Shown", "Strip", "Verdict", "cast_strip", "strip"]

"""Appearances in the formats that people carry on with: tables, subtitles, editing, annotation, training."""

from castsearch.movies.formats.files import write_formats
from castsearch.movies.formats.records import read_appearances, write_json
from castsearch.movies.formats.table import write_csv

__all__ = ["read_appearances", "write_csv", "write_formats", "write_json"]

"""The pickles in which stages meet: their names, their content as typed containers, safe reading, atomic writing.

A stage file is a plain dict of numpy arrays, strings, numbers and lists, keyed by movie. It is read without running
code, whoever wrote it, and written so that a plain ``pickle.load`` with any numpy from 1.17 on can read it. Whatever
does not fit the schema (model names, weights' SHA-256, settings) goes into ``NAME.pkl.json`` beside ``NAME.pkl``.
"""

from castsearch.stagefiles.content import Faces, Features, MoviePictures, Picture, Split
from castsearch.stagefiles.current import (
    MADE_FROM,
    is_current,
    is_recorded,
    made_from,
    say_current,
    say_kept,
    stamp,
    write_record,
)
from castsearch.stagefiles.detections import detection_entry, read_detection_entries, read_detections
from castsearch.stagefiles.errors import StageFileError
from castsearch.stagefiles.features import read_features
from castsearch.stagefiles.names import MODES, body_name, face_name, reid_name, retina_name
from castsearch.stagefiles.reading import last_change, read
from castsearch.stagefiles.resuming import RAN, Resumable, Run, runs
from castsearch.stagefiles.rows import FACES, ROWS, faces_digest, pictures_digest, told_of_movie
from castsearch.stagefiles.splits import (
    body_entry,
    read_body,
    read_body_entries,
    read_retina,
    write_body,
    write_retina,
)
from castsearch.stagefiles.writing import (
    atomic_write,
    check_folder,
    check_output,
    check_target,
    file_sha256,
    metadata_path,
    read_metadata,
    remove_leftovers,
    sweep,
    write,
)

__all__ = [
    "FACES",
    "MADE_FROM",
    "MODES",
    "RAN",
    "ROWS",
    "Faces",
    "Features",
    "MoviePictures",
    "Picture",
    "Resumable",
    "Run",
    "Split",
    "StageFileError",
    "atomic_write",
    "body_entry",
    "body_name",
    "check_folder",
    "check_output",
    "check_target",
    "detection_entry",
    "face_name",
    "faces_digest",
    "file_sha256",
    "is_current",
    "is_recorded",
    "last_change",
    "made_from",
    "metadata_path",
    "pictures_digest",
    "read",
    "read_body",
    "read_body_entries",
    "read_detection_entries",
    "read_detections",
    "read_features",
    "read_metadata",
    "read_retina",
    "reid_name",
    "remove_leftovers",
    "retina_name",
    "runs",
    "say_current",
    "say_kept",
    "stamp",
    "sweep",
    "told_of_movie",
    "write",
    "write_body",
    "write_record",
    "write_retina",
]

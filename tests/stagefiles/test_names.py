"""Names of the stage files are those of the original."""

from __future__ import annotations

from pathlib import Path

import pytest

from castsearch import stagefiles
from castsearch.stagefiles.names import WRITERS

ROOT = Path(__file__).resolve().parents[2]


def test_names():
    assert stagefiles.MODES == ("train", "val", "test")
    assert stagefiles.body_name("val") == "body_val.pkl"
    assert stagefiles.retina_name("val") == "retina_val.pkl"
    assert stagefiles.face_name("val") == "face_val.pkl"
    assert stagefiles.reid_name("mgn", "resnet50", "val") == "mgn_resnet50_val.pkl"


@pytest.mark.parametrize(
    "name", ["body_val.pkl", "retina_val.pkl", "face_val.pkl", "triplet_a_val.pkl", "mgn_a_val.pkl"]
)
def test_a_missing_file_names_the_script_that_writes_it(tmp_path, name):
    with pytest.raises(stagefiles.StageFileError) as error:
        stagefiles.read(tmp_path / name)
    writer = WRITERS[name.partition("_")[0]]
    assert f"run {writer} first" in str(error.value)
    assert (ROOT / writer.split()[0]).exists()

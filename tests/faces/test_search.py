"""How pictures are searched: settings check themselves."""

from __future__ import annotations

import pytest

from castsearch.faces import PackError, SearchSettings


def test_scales_of_any_sequence_are_equal_and_go_into_metadata():
    settings = SearchSettings([500, 800], flip=True)
    assert settings == SearchSettings((500, 800), True)
    assert settings.metadata() == {"scales": [500, 800], "flip": True}
    assert SearchSettings().metadata() == {"scales": None, "flip": False}
    assert SearchSettings([32, 4096]).scales == (32, 4096)


@pytest.mark.parametrize("scales", [[], [31], [640, -1], [640.5], ["640"], [4097]])
def test_bad_scales(scales):
    with pytest.raises(PackError, match=r"^scales \[.*\]: give at least one, whole numbers of 32 to 4096 pixels$"):
        SearchSettings(scales)

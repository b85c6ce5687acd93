"""OpenVINO and NNCF report to their makers when they are imported, unasked; here they are told that nobody is there.

ONNX Runtime is told so where ``castsearch`` is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from castsearch.errors import one_line
from castsearch.networks.errors import NetworkError

# Both take a machine that tests code for nobody, and leave no number to know their user by in the home folder. The
# second is NNCF's own word, without which it reports each use too.
_NOBODY_IS_THERE = {"CI": "true", "NNCF_CI": "1"}


@contextmanager
def unwatched() -> Iterator[None]:
    """Import them within: they look only then.

    Raises:
        NetworkError: they cannot be imported.
    """
    before = {name: os.environ.get(name) for name in _NOBODY_IS_THERE}
    os.environ.update(_NOBODY_IS_THERE)
    try:
        yield
    except (ImportError, RuntimeError) as error:  # the second where the user has no home
        raise NetworkError(
            f"OpenVINO or NNCF, which bfloat16, int8 and frozen graphs need, cannot be loaded ({one_line(error)}); "
            "pip install openvino nncf, and see that HOME is set"
        ) from None
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value

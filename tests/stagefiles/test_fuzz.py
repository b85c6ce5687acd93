"""A few hundred hostile files; ``make fuzz`` feeds more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_hostile_files_end_in_content_or_in_one_line():
    command = [sys.executable, str(Path(__file__).with_name("fuzz_pickles.py")), "600"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout)
    # Both ends must be common, or the files test nothing.
    assert counts["opcodes: refused"] > 50 and counts["mutated: refused"] > 50
    assert counts["opcodes: read"] > 20 and counts["benign: read"] > 20

"""Errors that end a run on a cluster, with real workers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import troubled_work
from fleet import fleet_environment


def test_units_that_cannot_succeed_end_the_run_with_the_reason():
    environment = fleet_environment()
    script = Path(troubled_work.__file__)
    environment["PYTHONPATH"] = f"{script.parent}:{environment['PYTHONPATH']}"
    command = [sys.executable, "-c", "import troubled_work; troubled_work.main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    good, deadly, hanging, damaged, different = done.stdout.splitlines()
    assert good == "[('a', 'A'), ('b', 'B'), ('slow', 'SLOW')]"
    assert deadly.startswith("deadly ended 2 workers; the last one: ")
    assert hanging == "hanging ended 2 workers; the last one: it made no progress for 4 s"
    assert re.fullmatch(r"damaged: node \S+: the file is damaged", damaged)
    assert re.match(
        r"the worker on node \S+ would give other results: found process \d+, expected process", different
    )

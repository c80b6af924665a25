"""Every tool on a machine that lacks a package: real processes, from which it is hidden."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from trt_ssd_ros.errors import REQUIRED, counted, missing_package

HIDE = """
import os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == os.environ["HIDDEN"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""
TOOLS = (
    "bench",
    *(f"tools.{name}" for name in ("build_engine", "detect", "evaluate", "import_model", "quantize_model")),
)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in a Python that does not find a module."""
    folder = tmp_path_factory.mktemp("hide")
    (folder / "sitecustomize.py").write_text(HIDE)

    def run(module, *command):
        path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, *map(str, command)],
            env={**os.environ, "PYTHONPATH": path, "HIDDEN": module},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("tool", "module"), [*((tool, "cv2") for tool in TOOLS), *(("tools.detect", name) for name in REQUIRED)]
)
def test_one_line_names_the_missing_package_and_the_command_that_installs_it(without, tool, module):
    done = without(module, "-m", f"trt_ssd_ros.{tool}", "--help")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tool.rpartition('.')[2]}: {module} cannot be imported (No module named ")
    assert f"pip install {REQUIRED[module]};" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_installed_executables_say_so_as_well(without):
    done = without("cv2", "-c", "from trt_ssd_ros.commands import detect; detect()")
    assert done.returncode == 1
    assert done.stderr.startswith("detect: cv2 cannot be imported")
    assert done.stderr.count("\n") == 1


INTERRUPTED_IMPORTS = """
import signal, sys
from trt_ssd_ros import commands

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if sys.argv[1] in ("any", name):
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
sys.exit(getattr(commands, sys.argv[2])())
"""


@pytest.mark.parametrize(
    ("module", "executable", "code"),
    [
        ("any", "detector_node", 0),
        ("any", "record", 130),
        ("datetime", "detect", 130),  # NumPy turns an interrupt in its import of datetime into ImportError
    ],
)
def test_ctrl_c_during_the_imports_is_an_orderly_end(module, executable, code):
    command = [sys.executable, "-c", INTERRUPTED_IMPORTS, module, executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_onnxruntime_is_asked_for_when_it_is_needed(without, repository, tmp_path):
    photo, out = repository / "photos" / "coffee.jpg", tmp_path / "out"
    command = "-m", "trt_ssd_ros.tools.detect", photo, "--output", out, "--backend", "onnxruntime"
    done = without("onnxruntime", *command)
    assert (done.returncode, done.stderr.splitlines()[-1].endswith(": pip install onnxruntime")) == (1, True)
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_other_errors_keep_their_traceback(without):
    assert missing_package(ImportError("no name")) == missing_package(ValueError()) == ""
    done = without("json", "-m", "trt_ssd_ros.tools.detect", "--help")
    assert "Traceback" in done.stderr


def test_whoever_imports_a_tool_keeps_the_hook_for_errors():
    script = (
        "import sys; hook = sys.excepthook; import trt_ssd_ros.tools.detect; sys.exit(sys.excepthook is not hook)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_one_thing_is_counted_in_the_singular():
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]

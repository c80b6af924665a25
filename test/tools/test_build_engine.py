"""The command line of build_engine, where it needs no GPU."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from trt_ssd_ros.engines.plan_cache import Plan, PlanCache, PlanKey
from trt_ssd_ros.tools.build_engine import ProgressBar, main, new_parser

KEY = PlanKey("model", "graph", "tensorrt", "11.4", "A GPU", "8.7", "fp16", {})


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PlanCache:
    monkeypatch.setenv("TRT_SSD_ENGINE_DIR", str(tmp_path))
    return PlanCache(tmp_path)


def test_lists_what_is_kept(cache, capsys):
    cache.store(KEY, Plan(b"plan" * 2**20, {}))
    (cache.folder / "other.plan").write_bytes(b"")
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert f"2 plans in {cache.folder}" in said
    assert f"4.0 MiB  {KEY.stem}.plan  A GPU, tensorrt 11.4" in said
    assert "other.plan  (unusable: its sidecar is missing or damaged)" in said


def test_an_empty_cache_is_no_error(capsys):
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.startswith("0 plans in ")


def test_cleans_what_is_kept_and_nothing_else(cache, capsys):
    cache.store(KEY, Plan(b"plan", {}))
    (cache.folder / "notes.txt").touch()
    assert main(["--clean"]) == 0
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]
    assert "2 files deleted" in capsys.readouterr().out


def test_without_tensorrt_it_says_what_is_missing(capsys):
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("build_engine: TensorRT cannot be imported")
    assert error.count("\n") == 1


def test_an_unknown_model_is_named_with_those_there_are(capsys):
    assert main(["--model", "nope"]) == 1
    assert "model: found 'nope', expected the path of a model card or one of: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--precision", "int4"], ["--batch", "many"], ["--unknown"]])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--triton", "models", "--batch", "8", "--precision", "fp16"], "--precision"),
        (["--triton", "models", "--model", "card.yaml", "--workspace-mib", "64"], "--workspace-mib"),
        (["--triton", "models", "--list"], "--list"),
        (["--list", "--gpu", "1"], "--gpu"),
        (["--clean", "--batch", "8"], "--batch"),
    ],
)
def test_options_that_a_task_ignores_are_refused(arguments, wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    task = next(name for name in arguments if name in ("--triton", "--list", "--clean"))
    said = f"build_engine: error: {wrong}: found it beside {task}, which ignores it, expected none\n"
    assert capsys.readouterr().err.endswith(said)


def test_options_have_the_defaults_of_a_build():
    options = new_parser().parse_args([])
    assert (options.batch, options.max_image_side, options.workspace_mib) == (1, 4096, 1024)
    assert (options.optimization_level, options.dla_core) == (None, None)


def test_ctrl_c_cancels_and_raises_nothing(capsys):
    before = signal.getsignal(signal.SIGINT)
    bar = ProgressBar()
    bar.report("building the plan", 0.5)
    bar.report("opening the plan", None)
    assert not bar.cancelled()
    os.kill(os.getpid(), signal.SIGINT)
    assert bar.cancelled()
    bar.close()
    assert signal.getsignal(signal.SIGINT) is before
    assert "building the plan" in capsys.readouterr().err

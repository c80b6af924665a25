"""Rounds of `detect --ray` in which a worker, a node or the driver is killed at a random image."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from trt_ssd_ros.bench.cluster.processes import ProcessCluster, process_cluster
from trt_ssd_ros.images.mp4 import Mp4Video
from trt_ssd_ros.images.open_source import open_source

IMAGES = 48
"""Images of each video."""
TARGETS = ("worker", "node", "driver")
OPTIONS = ("--backend", "onnxruntime", "--draw", "none", "--track", "--format", "csv", "mot")
DETECT = (sys.executable, "-m", "trt_ssd_ros.tools.detect")


def write_video(path: Path, start: int) -> None:
    """Write a part of the demo as a video of small images."""
    with closing(open_source("demo")) as source, closing(Mp4Video(path)) as video:
        for image in source.images(start):
            if image.index == start + IMAGES:
                break
            video.add(image.pixels[::2, ::2], image.index / 30)
        video.finish()


def rounds(count: int, seed: int, together: bool = False) -> Iterator[str]:
    """Kill in each round, and yield its outcome as a line.

    Args:
        count: Number of rounds.
        seed: Seed of the images at which the kills happen.
        together: Kill a worker, a node and then the driver in each round, instead of one of them.

    Raises:
        AssertionError: The output differs from that of one machine.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    with TemporaryDirectory() as name, process_cluster(2) as cluster:
        folder = Path(name)
        for number in range(2):
            write_video(folder / f"{number}.mp4", number * IMAGES)
        videos = [str(folder / f"{number}.mp4") for number in range(2)]
        command = [*DETECT, *videos, *OPTIONS]
        on_ray = [*command, "--ray", cluster.address, "--ray-slice", "6"]
        subprocess.run([*command, "--output", folder / "one"], check=True, capture_output=True)  # noqa: S603
        for number in range(count):
            targets = TARGETS if together else TARGETS[number % len(TARGETS) :][:1]
            lines = sorted(chance.sample(range(2 * IMAGES), len(targets)))
            kills = list(zip(lines, targets, strict=True))
            said = [f"{target} at image {line}" for line, target in kills]
            resumed = _round(on_ray, folder / "many", cluster, kills)
            expect_equal(folder / "one", folder / "many")
            again = ", resumed" if resumed else ""
            yield f"round {number + 1}: killed {', '.join(said)}{again}: output identical"


def _round(
    command: Sequence[str], output: Path, cluster: ProcessCluster, kills: Sequence[tuple[int, str]]
) -> bool:
    """Run, kill each target when a number of results is written, and bring the run to its end.

    Returns:
        Whether the driver was killed, and the run resumed.
    """
    arguments = [*command, "--output", str(output)]
    errors = output.with_suffix(".log")
    with (
        errors.open("w") as log,
        subprocess.Popen(  # noqa: S603
            [*arguments, "--overwrite", "--json"], stdout=subprocess.PIPE, stderr=log, text=True
        ) as run,
    ):
        assert run.stdout is not None
        read = 0
        for line, target in kills:
            _expect_json(run.stdout.readline() for _ in range(line - read))
            read = line
            _kill(cluster, target, run)
        _expect_json(run.stdout)
    if "driver" not in {target for _, target in kills}:
        assert run.returncode == 0, errors.read_text()
        return False
    done = subprocess.run([*arguments, "--resume"], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return True


def _expect_json(lines: Iterable[str]) -> None:
    """Require that each line begins as JSON does: no message of Ray is among the results."""
    for line in lines:
        assert line.startswith("{"), f"found {line!r} on stdout, expected the JSON of an image"


def _kill(cluster: ProcessCluster, target: str, run: subprocess.Popen[str]) -> None:
    if target == "driver":
        run.kill()
    elif target == "node":
        cluster.kill_node()
        cluster.add_node()
    else:
        cluster.kill_worker()


def expect_equal(one: Path, other: Path) -> None:
    """Require that two folders have the same files with the same bytes.

    Raises:
        AssertionError: They differ.
    """
    names, others = ([path.relative_to(top) for path in sorted(top.rglob("*"))] for top in (one, other))
    assert names == others, f"found {others}, expected {names}"
    for name in names:
        if (one / name).is_file():
            assert (one / name).read_bytes() == (other / name).read_bytes(), f"{name} differs"

"""Results of a run that come from units, in any order of their completion."""

from __future__ import annotations

import random
from argparse import Namespace
from collections import Counter, deque
from dataclasses import replace
from pathlib import Path

import pytest

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.detect.on_cluster import Order, Source, UnitResults, _merge
from trt_ssd_ros.tools.detect.settings import RunSettings
from trt_ssd_ros.tools.detect.several import in_turns
from trt_ssd_ros.tools.detect.units import Unit, UnitFiles
from trt_ssd_ros.tools.results import ImageResult, ResultError, ResultHeader

HEADER = ResultHeader({"model": "blind"}, ("Cat",))


def line(index: int) -> str:
    return ImageResult(index, f"{index:03d}", 4, 4, None, Detections.empty()).line(HEADER.labels) + "\n"


class RandomQueue:
    """A queue whose units end in a random order, for sources of some lengths."""

    def __init__(self, lengths: list[int], chance: random.Random):
        self._lengths = lengths
        self._chance = chance
        self._units: list[Unit] = []
        self.ran = Counter[int]()
        self.ready = 1

    def add(self, units):
        self._units.extend(units)

    def add_first(self, unit):
        self._units.insert(0, unit)

    def step(self):
        unit = self._units.pop(self._chance.randrange(len(self._units)))
        here = range(unit.begin, min(unit.end, self._lengths[unit.source]))
        self.ran[unit.source] += len(here)
        return [(unit, "".join(map(line, here)))]


def order(counts: list[int | None], length: int = 4, batch: int = 1) -> Order:
    options = Namespace(batch=batch, ray_slice=length)
    sources = tuple(Source(str(number), (), (), count) for number, count in enumerate(counts))
    return Order(options, sources, (), is_video=True)


def merge(
    folder: Path, queue: RandomQueue, order: Order, first: list[int], most: int | None = None
) -> list[tuple[int, int | None]]:
    results = UnitResults(queue, UnitFiles(folder, HEADER), order, first, most, lambda _: None)
    return [(source, None if result is None else result.index) for source, result in results.merged()]


def in_order(lengths: list[int]) -> list[tuple[int, int]]:
    return list(in_turns(deque(iter([(n, index) for index in range(length)]) for n, length in enumerate(lengths))))


@pytest.mark.parametrize("seed", range(60))
def test_the_results_are_those_of_one_machine_whatever_the_sources_announce(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - no secret
    lengths = [chance.randrange(1, 23) for _ in range(chance.randrange(1, 5))]
    counts = [chance.choice([None, length, max(1, length - 5), length + 5]) for length in lengths]
    queue = RandomQueue(lengths, chance)
    assert merge(tmp_path, queue, order(counts), [0] * len(lengths)) == in_order(lengths)
    assert queue.ran == Counter(dict(enumerate(lengths))), "no image twice"


@pytest.mark.parametrize("seed", range(30))
def test_a_resumed_run_runs_no_finished_unit_and_no_written_image_again(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - no secret
    lengths = [chance.randrange(1, 23) for _ in range(3)]
    whole = in_order(lengths)
    written = chance.randrange(len(whole) + 1)
    first = [Counter(source for source, _ in whole[:written])[source] for source in range(3)]
    files = UnitFiles(tmp_path, HEADER)
    finished = set()
    for source, length in enumerate(lengths):
        for begin in range(0, length, 4):
            if chance.random() < 0.5:
                here = range(begin, min(begin + 4, length))
                files.add(Unit(begin, source, begin + 4), "".join(map(line, here)))
                finished |= {(source, index) for index in here}
    queue = RandomQueue(lengths, chance)
    found = merge(tmp_path, queue, order(list(lengths)), first)
    assert found == [(source, None) for source, _ in whole[:written]] + whole[written:]
    assert queue.ran.total() == len(set(whole[written:]) - finished)


def test_units_end_at_batches_and_at_the_last_wanted_image(tmp_path):
    seen = []
    queue = RandomQueue([20], random.Random(0))  # noqa: S311 - no secret
    queue.add = lambda units: seen.extend(units) or RandomQueue.add(queue, seen)
    found = merge(tmp_path, queue, order([20], length=4, batch=3), [0], most=14)
    assert found == [(0, index) for index in range(14)]
    assert [(unit.begin, unit.end) for unit in seen] == [(0, 6), (6, 12), (12, 14)]


def test_units_of_other_settings_and_unfinished_files_are_deleted(tmp_path):
    other = replace(HEADER, detector={"model": "other"})
    UnitFiles(tmp_path, other).add(Unit(0, 0, 4), line(0))
    (tmp_path / "0-4-8.jsonl.0123456789abcdef.part").write_text("half")
    (tmp_path / "0-8-12.jsonl").write_text("")
    (tmp_path / "mine.jsonl").write_text("a file of the user")
    files = UnitFiles(tmp_path, HEADER)
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.jsonl"]
    files.add(Unit(0, 0, 4), line(0) + line(1))
    files.add(Unit(0, 0, 4), line(7))  # the result of a unit that was handed out twice
    again = UnitFiles(tmp_path, HEADER)
    assert again.covering(0, 3) == Unit(0, 0, 4)
    assert again.covering(0, 4) is None
    assert [result.index for result in again.read(Unit(0, 0, 4))] == [0, 1]


@pytest.mark.parametrize(
    ("length", "wrong", "found"),
    [(7, {}, "nothing as image 7, expected 007"), (10, {5: "x"}, "005 as image 5, expected x")],
)
def test_a_node_with_other_images_ends_the_run_and_a_resumed_one_reads_them_again(tmp_path, length, wrong, found):
    log, names = tmp_path / "results.jsonl", [wrong.get(index, f"{index:03d}") for index in range(10)]
    log.write_text(HEADER.line() + "\n")
    settings, chance = RunSettings(HEADER, None, None), random.Random(0)  # noqa: S311 - no secret

    def merge_into_log(done: int, length: int, names: list[str], most: int | None = None) -> None:
        options = Namespace(output=tmp_path, resume=True, max_images=most)
        queue = RandomQueue([length], chance)
        one = Order(Namespace(batch=1, ray_slice=4), (Source("", (), (), len(names)),), (), is_video=False)
        _merge(options, one, names, settings, done, queue, lambda _: None)

    merge_into_log(0, length, names, most=3)
    with pytest.raises(ResultError, match=f"a node found {found}: all nodes must have"):
        merge_into_log(3, length, names)
    assert list(tmp_path.iterdir()) == [log]
    done = len(log.read_text().splitlines()) - 1
    merge_into_log(done, 10, [f"{index:03d}" for index in range(10)])
    assert log.read_text() == HEADER.line() + "\n" + "".join(map(line, range(10)))

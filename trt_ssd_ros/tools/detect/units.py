"""Units: slices of the sources of a run that one worker detects in, and the files of their results."""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.tools.results import ImageResult, ResultError, ResultHeader, read_header, read_results

UNIT_FILE = re.compile(r"\d+-\d+-\d+\.jsonl(\.[0-9a-f]+\.part)?")
"""Names of the files of finished and unfinished units; other files in their folder are the user's."""


@dataclass(frozen=True, order=True)
class Unit:
    """Slice of a source.

    Attributes:
        begin: Index in the source of the first image.
        source: Number of the source in the run.
        end: Index behind the last image. The source may end before it.
    """

    begin: int
    source: int
    end: int

    def __str__(self) -> str:
        """Return the unit as text."""
        return f"images {self.begin} to {self.end - 1} of input {self.source + 1}"

    @property
    def file_name(self) -> str:
        """Name of the file of its results."""
        return f"{self.source}-{self.begin}-{self.end}.jsonl"

    @classmethod
    def of_file(cls, path: Path) -> Unit:
        """Return the unit of a file of results.

        Raises:
            ValueError: The name is none of `file_name`.
        """
        source, begin, end = map(int, path.stem.split("-"))
        return cls(begin, source, end)


class UnitFiles:
    """Finished units of a run in a folder, each a results file that is complete once it has its name.

    Args:
        folder: Folder of the files. Files of units with other settings are deleted.
        header: Settings of the run.
    """

    def __init__(self, folder: Path, header: ResultHeader) -> None:
        self._folder = folder
        self._first_line = header.line()
        self._done: dict[int, list[Unit]] = {}
        for path in _unit_files(folder):
            if path.suffix == ".jsonl" and _is_of(path, header):
                self._keep(Unit.of_file(path))
            else:
                path.unlink()  # also what a killed driver has not finished

    def _keep(self, unit: Unit) -> None:
        insort(self._done.setdefault(unit.source, []), unit)

    def covering(self, source: int, index: int) -> Unit | None:
        """Return a finished unit that includes an image, if there is one."""
        units = self._done.get(source, [])
        place = bisect_right(units, index, key=lambda unit: unit.begin) - 1
        return units[place] if place >= 0 and index < units[place].end else None

    def add(self, unit: Unit, lines: str) -> None:
        """Write the results of a unit, unless the unit is already finished.

        Args:
            unit: Finished unit.
            lines: Lines of a results file, without the header.
        """
        if self.covering(unit.source, unit.begin) is None:
            content = f"{self._first_line}\n{lines}".encode(errors="surrogateescape")
            write_atomically(self._folder / unit.file_name, content)
            self._keep(unit)

    def read(self, unit: Unit) -> Iterator[ImageResult]:
        """Read the results of a finished unit."""
        return read_results(self._folder / unit.file_name)


def delete_units(folder: Path) -> None:
    """Delete the files of units in a folder, and the folder unless it holds other files."""
    for path in (found := _unit_files(folder)):
        path.unlink()
    if found:
        with suppress(OSError):  # it holds other files
            folder.rmdir()


def _unit_files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if UNIT_FILE.fullmatch(path.name)]


def _is_of(path: Path, header: ResultHeader) -> bool:
    try:
        return read_header(path).line() == header.line()
    except ResultError:
        return False

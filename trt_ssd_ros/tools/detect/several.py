"""Several recordings, topics or videos at once, whose images share the batches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import islice, product
from pathlib import Path
from threading import Event
from typing import TypeVar

from trt_ssd_ros.images.open_source import image_paths, open_sources
from trt_ssd_ros.images.recording import is_recording
from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.source_name import SourceName, without_password

T = TypeVar("T")
AHEAD = 2
"""Images that each source reads ahead of the batches."""


class SeveralSources(ImageSource):
    """Sources that are read in parallel, each in a thread of its own, and whose images take turns.

    The order is fixed, so that a run can be resumed: an image of each source in turn, until it ends. An image is
    named LABEL/NAME.

    Args:
        sources: Sources by label; none is live.

    Attributes:
        labels: Labels of the sources.
        counts: Number of images of each source if known before reading, else None.
    """

    def __init__(self, sources: Mapping[str, ImageSource]) -> None:
        self.labels = tuple(sources)
        self._sources = sources
        self.counts = tuple(source.count for source in sources.values())
        self.count = None if None in self.counts else sum(count or 0 for count in self.counts)

    def captures(self) -> Iterator[Capture]:
        """Take an image of each source in turn; see `ImageSource.captures`."""
        for index, capture in enumerate(in_turns(self._captures())):
            yield partial(_numbered, index, capture)

    def images(self, start: int = 0) -> Iterator[SourceImage]:
        """Read and decode all sources in parallel; see `ImageSource.images`."""
        waiting = self._captures()
        for _ in islice(in_turns(waiting), start):
            pass  # these images are not decoded
        with ExitStack() as stack:
            threads: list[Iterator[SourceImage]] = [
                stack.enter_context(closing(ReadAhead(captures))) for captures in waiting
            ]
            for index, image in enumerate(in_turns(deque(threads)), start):
                yield replace(image, index=index)

    def _captures(self) -> deque[Iterator[Capture]]:
        return deque(_labelled(label, source) for label, source in self._sources.items())

    def allow_reduced(self, width: int, height: int) -> None:
        """Allow every source to reduce its images; see `ImageSource.allow_reduced`."""
        for source in self._sources.values():
            source.allow_reduced(width, height)

    def close(self) -> None:
        """Close all sources."""
        for source in self._sources.values():
            source.close()


def _labelled(label: str, source: ImageSource) -> Iterator[Capture]:
    for capture in source.captures():
        yield partial(_named, label, capture)


def _named(label: str, capture: Capture) -> SourceImage:
    image = capture()
    return replace(image, name=f"{label}/{image.name}")


def _numbered(index: int, capture: Capture) -> SourceImage:
    return replace(capture(), index=index)


class ReadAhead:
    """Iterator that reads and decodes the images of one source in a thread of its own, AHEAD of its caller.

    Args:
        captures: Images of the source.
    """

    def __init__(self, captures: Iterable[Capture]) -> None:
        self._images = (capture() for capture in captures)
        self._thread = ThreadPoolExecutor(1, "read")
        self._ahead = deque(self._thread.submit(next, self._images, None) for _ in range(AHEAD))

    def __iter__(self) -> Iterator[SourceImage]:
        """Return itself."""
        return self

    def __next__(self) -> SourceImage:
        """Return the next image.

        Raises:
            SourceError: The source is damaged.
        """
        image = self._ahead.popleft().result()
        self._ahead.append(self._thread.submit(next, self._images, None))
        if image is None:
            raise StopIteration
        return image

    def close(self) -> None:
        """End the thread, after the image that it reads."""
        self._thread.shutdown(cancel_futures=True)


def in_turns(waiting: deque[Iterator[T]]) -> Iterator[T]:
    """Yield an item of each iterator in turn.

    Args:
        waiting: Iterators in the order of their turns. Between two items it holds those that have not ended, the
            next one first.
    """
    while waiting:
        iterator = waiting.popleft()
        for item in iterator:
            waiting.append(iterator)
            yield item
            break


def open_inputs(
    names: Sequence[str], topics: Sequence[str], exclude: Collection[Path], stop: Event
) -> ImageSource:
    """Open the inputs of `detect`: images and folders, one source, or several recordings, topics and videos.

    Args:
        names: Names of sources, as in `open_source`.
        topics: Image topics of the recordings; empty: the only image topic of each.
        exclude: Folders whose images are skipped, because they were made from the others.
        stop: Event that ends the opening and the images of a live source.

    Raises:
        SourceError: A source does not exist or cannot be read, or the names cannot be combined.
        RuntimeError: A required library is not installed.
    """
    is_one = len(names) == 1 and len(topics) < 2
    if is_one or all(image_paths(name, exclude) is not None for name in names):
        return open_sources(names, "".join(topics[:1]), exclude, stop)
    for name in names:
        if SourceName.parse(name).live or image_paths(name, exclude) is not None:
            found = f"found {without_password(name)} among several inputs"
            raise SourceError(f"{found}, expected recordings and videos only, or images and folders only")
        if len(topics) > 1 and not is_recording(Path(SourceName.parse(name).target or name).expanduser()):
            raise SourceError(
                f"found {name} beside several topics, expected recordings only: a video has no topics"
            )
    opened: dict[str, ImageSource] = {}
    with ExitStack() as stack:
        for label, (name, topic) in labelled_sources(names, topics).items():
            opened[label] = open_sources([name], topic, exclude, stop)
            stack.callback(opened[label].close)
        stack.pop_all()
    return SeveralSources(opened)


def labelled_sources(names: Sequence[str], topics: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the name and the topic of each of several recordings, topics and videos, by its label."""
    return {
        "/".join(filter(None, (label, topic.strip("/") if len(topics) > 1 else ""))): (name, topic)
        for (name, label), topic in product(_labels(names).items(), topics or [""])
    }


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Return the path of each source relative to the common folder of all."""
    paths = {
        name: Path(os.path.normpath(Path(SourceName.parse(name).target or name).expanduser().absolute()))
        for name in names
    }
    base = os.path.commonpath([path.parent for path in paths.values()])
    return {name: path.relative_to(base).as_posix() for name, path in paths.items()}

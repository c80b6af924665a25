"""ResultWriter: ids, drawing, and the lines of the results file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np

from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.detection.views import WHOLE, Views
from trt_ssd_ros.images.source import SourceImage
from trt_ssd_ros.tools.detect.annotated import AnnotatedOutput
from trt_ssd_ros.tools.detect.tracks import SourceTracks
from trt_ssd_ros.tools.results import ImageResult

LOGGER = logging.getLogger(__name__)


class ResultWriter:
    """Last stage of a run, which takes the results in the order of the images.

    Args:
        labels: Class names, indexed by class id.
        first_class_id: Class id of the first label in files, as in LabelInfo.
        log: Results file.
        output: Output for annotated images.
        on_line: Callback for each line written to `log`.
        views: Parts of the images that the detectors see.
        tracks: Trackers of the sources; None: no tracking.
    """

    def __init__(
        self,
        labels: Sequence[str],
        first_class_id: int,
        log: TextIO,
        output: AnnotatedOutput,
        on_line: Callable[[str], None],
        views: Views = WHOLE,
        tracks: SourceTracks | None = None,
    ) -> None:
        self._labels = labels
        self._first_class_id = first_class_id
        self._log = log
        self._output = output
        self._on_line = on_line
        self._views = views
        self._tracks = tracks

    def tracked(self, result: ImageResult) -> ImageResult:
        """Return a result with ids if the run tracks."""
        return result if self._tracks is None else self._tracks.update(result)

    def draw(self, image: SourceImage, result: ImageResult) -> None:
        """Draw a result into the annotated output, if it is wanted and the image is readable."""
        if not self._output.wanted or image.problem:
            return
        pixels = image.pixels if image.channel_order == "bgr" else np.ascontiguousarray(image.pixels[..., ::-1])
        height, width = image.size
        windows = () if self._views.is_whole_image else self._views.windows(width, height)
        picture = draw_detections(pixels, result.detections, self._labels, views=windows)
        self._output.add(image.name, picture, image.seconds)

    def write(self, result: ImageResult) -> None:
        """Append the line of a result to the results file."""
        if result.unreadable:
            LOGGER.warning("skipped %s: %s", result.name, result.unreadable)
        line = result.line(self._labels, self._first_class_id)
        self._log.write(line + "\n")
        self._log.flush()
        self._on_line(line)

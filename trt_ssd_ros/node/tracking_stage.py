"""TrackingStage: gives the detections of one camera the ids of their objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rclpy.impl.rcutils_logger import RcutilsLogger

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.node.detected_frame import DetectedFrame
from trt_ssd_ros.tracking.settings import TrackerSettings
from trt_ssd_ros.tracking.tracker import Tracker


class TrackingStage:
    """Stage that tracks while the parameter `tracking` is true; see `Stage`.

    A session begins with the first image after the camera was opened, after an image that was not tracked, and
    after a jump of the stamps. If the tracker fails, the images are published without ids.

    Args:
        logger: Logger of the camera.
        note_problem: Called with the reason when an image is not tracked.

    Attributes:
        problem: Reason why the newest image was not tracked; empty if it was.
    """

    def __init__(self, logger: RcutilsLogger, note_problem: Callable[[str], None]) -> None:
        self.problem = ""
        self._logger = logger
        self._note_problem = note_problem
        self._tracker: Tracker | None = None

    @property
    def tracks(self) -> int | None:
        """Number of objects with an id, seen or not seen for at most `track_max_gap`; None: no tracking."""
        tracker = self._tracker
        return None if tracker is None else len(tracker)

    def begin(self) -> None:
        """Begin a new session with the next image."""
        self._tracker, self.problem = None, ""

    def process(self, found: DetectedFrame) -> DetectedFrame:
        """Return an image with ids; see `Stage`."""
        settings = found.settings.tracker
        if settings is None:
            self.begin()
            return found
        try:
            detections = self._tracked(found, settings)
            self.problem = ""
        except Exception as error:  # detections without ids are better than a node that ends
            detections = settings.reported_untracked(found.detections)
            self._fail(error)
        return replace(found, detections=detections)

    def _tracked(self, found: DetectedFrame, settings: TrackerSettings) -> Detections:
        if self._tracker is None:
            self._tracker = Tracker(settings)
        before, self._tracker.settings = self._tracker.session, settings
        detections = self._tracker.update(found.time_ns, found.detections)
        if self._tracker.session != before:
            self._logger.info("the stamps have jumped: tracking begins again", throttle_duration_sec=5.0)
        return detections

    def _fail(self, error: Exception) -> None:
        """Log and report an error; the next image begins a new session."""
        self._tracker = None
        self.problem = f"tracking failed, detections have no ids: {type(error).__name__}: {error}"
        self._logger.error(self.problem, throttle_duration_sec=5.0)
        self._note_problem(self.problem)

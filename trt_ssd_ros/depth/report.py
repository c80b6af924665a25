"""LocatorReport: counts of placed and lost detections, for /diagnostics and the log."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import monotonic
from traceback import format_exception
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger

from trt_ssd_ros.depth.located_frame import LocatedFrame, UnlocatedError
from trt_ssd_ros.depth.placement import Reason
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.errors import counted

SPAN = 5.0
"""Seconds over which the summary of the status counts."""
PAUSE = 10.0
"""Seconds without a problem after which the log tells of it again."""
START = 2.0
"""Seconds from the first subscriber on in which problems are only counted, as the inputs are still discovered."""
WINDOW = 300
"""Number of images in the percentiles."""


class LocatorReport:
    """Counts of placed detections, and of lost ones by their reason.

    Args:
        logger: Logger of the node.
        now: Steady clock in seconds.
    """

    def __init__(self, logger: RcutilsLogger, now: Callable[[], float] = monotonic) -> None:
        self._logger = logger
        self._now = now
        self._images = self._objects = self._placed = self._jumps = 0
        self._reasons: Counter[Reason] = Counter()
        self._recent: deque[tuple[float, int, Counter[Reason]]] = deque()
        self._seen: dict[str, float] = {}
        self._problem = self._failing = ""
        self._announced = False
        self._started = now()
        self._offsets: deque[float] = deque(maxlen=WINDOW)

    def note_frame(self, frame: LocatedFrame) -> None:
        """Count the objects of an image whose objects could be looked for."""
        if frame.offset is not None:
            self._offsets.append(abs(frame.offset) / 1e6)
            self._failing = ""
        self._count(len(frame.objects), frame.unplaced)
        if frame.objects and self._announced:
            self._announced = False
            self._logger.info("objects are placed again")
        for reason in set(frame.unplaced):
            self._log(f"no place for an object: {reason.value}")

    def note_failure(self, objects: int, error: UnlocatedError) -> None:
        """Count the objects of an image that has nothing to place them by."""
        self._count(0, [error.reason] * objects)
        self._problem = self._failing = str(error)
        begins = self._log(f"no place for {counted(objects, 'object')}: {error}")
        self._announced |= begins
        if begins and error.reason is Reason.FAILED:
            self._logger.error("".join(format_exception(error.__cause__)))

    def note_jump(self, topic: str) -> None:
        """Count a jump of the stamps back in time, e.g. of a bag that loops."""
        self._jumps += 1
        self._log(f"the stamps of {topic} went back: older depth images and transforms are forgotten")

    def start(self) -> None:
        """Begin anew, because the node begins to look for objects."""
        self._failing, self._announced = "", False
        self._recent.clear()
        self._offsets.clear()
        self._started = self._now()

    def fill(self, status: Any, active: bool, values: dict[str, str], explain: Callable[[], str]) -> Any:
        """Fill a diagnostic_updater status wrapper, and return it.

        Args:
            status: Wrapper.
            active: Whether the node takes its inputs.
            values: Further values.
            explain: Explains why no detections arrive.
        """
        status.summary(*self._summary(active, explain))
        counts = {"images": self._images, "objects": self._objects, "placed": self._placed}
        counts |= {reason.value: self._reasons[reason] for reason in Reason}
        for name, value in ({name: str(n) for name, n in counts.items()} | values | self._times()).items():
            status.add(name, value)
        status.add("clock jumps", str(self._jumps))
        status.add("last problem", self._problem or "none")
        return status

    def _count(self, placed: int, unplaced: Sequence[Reason]) -> None:
        reasons = Counter(unplaced)
        self._images += 1
        self._objects += placed + len(unplaced)
        self._placed += placed
        self._reasons += reasons
        self._recent.append((self._now(), placed, reasons))
        self._forget_old()

    def _forget_old(self) -> None:
        while self._recent and self._recent[0][0] < self._now() - SPAN:
            self._recent.popleft()

    def _log(self, text: str) -> bool:
        """Log a problem when it begins, and return whether it was logged."""
        kind = re.sub(r"[-+]?\d[\d.]*", "0", text)  # the numbers of a problem differ from image to image
        now = self._now()
        if now - self._started < START:
            return False
        self._seen = {other: seen for other, seen in self._seen.items() if now - seen < PAUSE}
        begins = kind not in self._seen
        self._seen[kind] = now
        if begins:
            self._logger.warning(text)
        return begins

    def _summary(self, active: bool, explain: Callable[[], str]) -> tuple[bytes, str]:
        if not active:
            return DiagnosticStatus.OK, "idle: no topic with results has a subscriber"
        self._forget_old()
        if not self._recent:
            return DiagnosticStatus.WARN, f"no detections arrive: {explain()}"
        placed = sum(count for _, count, _ in self._recent)
        reasons: Counter[Reason] = sum((found for _, _, found in self._recent), Counter())
        total = placed + sum(reasons.values())
        causes = "".join(f", {number}: {reason.value}" for reason, number in reasons.most_common())
        if not total:
            return DiagnosticStatus.OK, f"no objects in the last {SPAN:g} s"
        text = f"{placed} of {total} objects placed in the last {SPAN:g} s{causes}"
        if self._failing:
            return DiagnosticStatus.WARN, f"{text}; {self._failing}"
        return DiagnosticStatus.OK if placed else DiagnosticStatus.WARN, text

    def _times(self) -> dict[str, str]:
        if not self._offsets:
            return {}
        timing = Timing.of(list(self._offsets))
        return {"depth offset p50 ms": f"{timing.p50:.1f}", "depth offset p99 ms": f"{timing.p99:.1f}"}

"""Listen to detections for some seconds, and print the latencies of their images as JSON, after a line BEGIN.

python -m trt_ssd_ros.bench.ros.detection_log TOPIC SECONDS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

from trt_ssd_ros.bench.ros.camera_paths import DetectionListener
from trt_ssd_ros.bench.ros.node import spinning
from trt_ssd_ros.ros.process import ros_context

FIRST_SECONDS, SETTLING = 60.0, 3.0
"""Seconds to wait for the first detections, and from them to the measurement."""
BEGIN = "measuring"


def listen(topic: str, seconds: float) -> list[float]:
    """Return the milliseconds from each image's stamp to the arrival of its detections; none if none arrive.

    Raises:
        RuntimeError: A signal ended the process.
    """
    with ros_context([]) as ros:
        listener = ros.add(DetectionListener({topic: topic}))
        with spinning(ros.executor):
            answers = listener.answers[topic]
            if answers.first.wait(FIRST_SECONDS):
                time.sleep(SETTLING)
                listener.forget()
            print(BEGIN, flush=True)
            time.sleep(seconds)
            return list(answers.latencies)
    raise RuntimeError("interrupted")


def main(args: Sequence[str] | None = None) -> int:
    """Listen, and print."""
    topic, seconds = sys.argv[1:] if args is None else args
    json.dump(listen(topic, float(seconds)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

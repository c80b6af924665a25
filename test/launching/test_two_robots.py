"""detect.launch.py for two robots at once, one with a stream and one with a photo: nothing is crossed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rtsp import RtspServer
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

pytestmark = pytest.mark.ros

SEEN = {"gate": "cat", "hall": "person"}


@pytest.fixture
def robots(repository: Path, tmp_path: Path) -> Any:
    """The launch arguments of two robots, by frame_id; the first looks at a real RTSP server."""
    server = RtspServer(tmp_path, [repository / "photos" / "chelsea.jpg"])
    server.start()
    photo = repository / "photos" / "astronaut.jpg"
    sources = {"gate": server.address, "hall": f"file:{photo}"}
    yield {
        name: {"detect": "true", "source": source, "fps": "4", "frame_id": name, "namespace": name}
        for name, source in sources.items()
    }
    server.kill()


def test_two_robots_see_what_is_before_them(probe, start_process, robots):
    images = {name: probe.receive(Image, f"/{name}/image_raw") for name in robots}
    answers = {name: probe.receive(Detection2DArray, f"/{name}/detections") for name in robots}
    script = Path(__file__).parents[1] / "support" / "run_cameras.py"
    start_process([sys.executable, str(script), json.dumps(list(robots.values()))])
    probe.spin_until(lambda: all(len(found) > 3 for found in answers.values()), "detections of both", 60.0)
    for name, label in SEEN.items():
        assert {image.header.frame_id for image in images[name]} == {name}
        assert {answer.header.frame_id for answer in answers[name]} == {name}
        labels = {d.results[0].hypothesis.class_id for answer in answers[name] for d in answer.detections}
        assert label in labels
        assert SEEN["hall" if name == "gate" else "gate"] not in labels

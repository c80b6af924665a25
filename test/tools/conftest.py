"""What the tests of several tools share."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from media import pan, write_video


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Two seconds of a cat."""
    photo = cv2.imread(str(repository / "photos" / "chelsea.jpg"))
    return write_video(tmp_path_factory.mktemp("video") / "cat.mp4", pan(photo, 60))

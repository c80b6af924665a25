from __future__ import annotations

from functools import partial
from threading import Event

import numpy as np
import pytest

from trt_ssd_ros.images.source import ImageSource, SourceError, SourceImage
from trt_ssd_ros.tools.quantize_model import calibration as calibration_images
from trt_ssd_ros.tools.quantize_model.calibration import CalibrationImages


class Numbered(ImageSource):
    """100 images of which image 50 cannot be read."""

    def __init__(self, is_video: bool, count: int | None = 100) -> None:
        self.is_video, self.count, self.grabbed, self.read = is_video, count, 0, []

    def captures(self):
        for number in range(100):
            self.grabbed += 1
            yield partial(self._read, number)

    def _read(self, number: int) -> SourceImage:
        self.read.append(number)
        problem = "broken" if number == 50 else ""
        return SourceImage(number, str(number), np.zeros((4, 4, 3), np.uint8), problem=problem)


def seen(images: Numbered, most: int) -> list[int]:
    chosen = CalibrationImages(lambda: images, most, Event())
    return [image.index for image in chosen.iterate("looking")]


@pytest.mark.parametrize("is_video", [True, False])
@pytest.mark.parametrize("most", [1, 7, 99, 100, 101])
def test_as_many_images_as_asked_for_are_looked_at_from_everywhere(is_video, most):
    numbers = seen(Numbered(is_video), most)
    expected = [
        number for number in np.linspace(0, 100, min(most, 100), endpoint=False).astype(int) if number != 50
    ]
    assert numbers == expected


def test_images_are_decoded_only_if_they_are_looked_at_and_read_no_further_than_the_last():
    files, video = Numbered(is_video=False), Numbered(is_video=True)
    assert seen(files, 4) == seen(video, 4) == [0, 25, 75]
    assert files.read == video.read == [0, 25, 50, 75]
    assert files.grabbed == video.grabbed == 76


def test_of_a_video_that_does_not_say_how_long_it_is_the_first_images_are_looked_at():
    assert seen(Numbered(is_video=True, count=None), 5) == [0, 1, 2, 3, 4]


def test_an_image_that_cannot_be_read_is_named_once(hear):
    said = hear(calibration_images)
    chosen = CalibrationImages(lambda: Numbered(is_video=False), 2, Event())
    assert [[image.index for image in chosen.iterate("again")] for _ in range(2)] == [[0], [0]]
    assert said.messages == ["skipped 50: broken"]


def test_images_that_do_not_come_again_are_refused():
    camera = Numbered(is_video=True)
    camera.live = True
    with pytest.raises(
        SourceError, match="found a camera, expected images, a video or a recording: record the camera"
    ):
        seen(camera, 5)


def test_it_stops_between_two_images_also_where_none_is_looked_at():
    stop, video = Event(), Numbered(is_video=True)
    images = CalibrationImages(lambda: video, 2, stop).iterate("looking")
    assert next(images).index == 0
    stop.set()
    with pytest.raises(KeyboardInterrupt):
        next(images)
    assert (video.read, video.grabbed) == ([0], 2)

"""Images are copied as they are, whatever their strides."""

from __future__ import annotations

import numpy as np
import pytest

from trt_ssd_ros.engines.cuda import copy_images

WHOLE = np.random.default_rng(5).integers(0, 256, (2, 300, 451, 3), np.uint8)
READ_ONLY = WHOLE.copy()
READ_ONLY.setflags(write=False)
FROM_BYTES = np.frombuffer(WHOLE.tobytes(), np.uint8).reshape(WHOLE.shape)
IMAGES = {
    "whole": WHOLE,
    "one": WHOLE[:1],
    "one pixel": WHOLE[:, :1, :1],
    "one row": WHOLE[:, 7:8],
    "one column": WHOLE[:, :, 7:8],
    "cut out": WHOLE[:, 10:200, 33:77],
    "channels turned round": WHOLE[..., ::-1],
    "upside down": WHOLE[:, ::-1],
    "mirrored": WHOLE[:, :, ::-1],
    "every second column": WHOLE[:, :, ::2],
    "planes": np.ascontiguousarray(WHOLE.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
    "one row for all": np.broadcast_to(WHOLE[:, :1], WHOLE.shape),
    "read-only": READ_ONLY,
    "of bytes": FROM_BYTES,
    "every value": np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3),
    "as large as 4K": np.resize(WHOLE, (1, 2160, 3840, 3)),
}


@pytest.mark.parametrize("images", IMAGES.values(), ids=IMAGES)
def test_every_pixel_arrives_in_the_very_memory(images):
    around = np.full((images.size + 2,), 99, np.uint8)
    copy_images(around[1:-1].reshape(images.shape), images)
    assert (around[0], around[-1]) == (99, 99)
    np.testing.assert_array_equal(around[1:-1].reshape(images.shape), images)

"""Picture files as a folder in the field has them: all kinds that can be read, and all ways to be none."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CMYK = Path(__file__).parents[1] / "images" / "cmyk.jpg"


def encoded(suffix: str, picture: NDArray[np.generic]) -> bytes:
    """A picture as a file of a kind."""
    done, data = cv2.imencode(suffix, picture)
    assert done
    return bytes(data)


def turned(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF orientation: an APP1 segment with one TIFF entry, tag 0112 (EXIF 2.3, 4.6.4)."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def picture(number: int) -> NDArray[np.uint8]:
    """A picture that is 30 high and as wide as its number says, from 40 on."""
    return np.full((30, 40 + number, 3), number % 200, np.uint8)


READABLE: dict[str, Callable[[int], bytes]] = {
    "jpg": lambda number: encoded(".jpg", picture(number)),
    "png": lambda number: encoded(".png", picture(number)),
    "16bit.png": lambda number: encoded(".png", picture(number).astype(np.uint16) << 8),
    "grey.png": lambda number: encoded(".png", picture(number)[..., 0]),
    "grey.jpg": lambda number: encoded(".jpg", picture(number)[..., 0]),
    "alpha.png": lambda number: encoded(".png", np.dstack([picture(number), picture(number)[..., 0]])),
    "turned.jpg": lambda number: turned(encoded(".jpg", picture(number).swapaxes(0, 1)), 6),
    "cmyk.jpg": lambda _: CMYK.read_bytes(),
    "bmp": lambda number: encoded(".bmp", picture(number)),
}
UNREADABLE: dict[str, Callable[[int], bytes]] = {
    "cut.jpg": lambda number: encoded(".jpg", picture(number))[:-40],
    "cut.png": lambda number: encoded(".png", picture(number))[:-40],
    "empty.jpg": lambda _: b"",
    "text.png": lambda _: b"this is no picture",
    "header.jpg": lambda _: b"\xff\xd8\xff",
}


def mixed_folder(folder: Path, count: int) -> tuple[int, int]:
    """Fill a folder with files of all kinds in turn; return how many can be read, and how many cannot."""
    folder.mkdir()
    kinds = [*READABLE.items(), *UNREADABLE.items()]
    for number in range(count):
        name, make = kinds[number % len(kinds)]
        (folder / f"{number:04d}.{name}").write_bytes(make(number))
    bad = sum(number % len(kinds) >= len(READABLE) for number in range(count))
    return count - bad, bad

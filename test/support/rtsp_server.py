"""An RTSP server, aio-rtsp-toolkit on PyAV, in a process of its own: PyAV's FFmpeg and OpenCV's do not share one.

rtsp_server.py FOLDER PORT PHOTO...: serves FOLDER/clip.mp4, H.264 of photos shown a second each, made if need be
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import av
from aio_rtsp_toolkit.server import serve

RATE = 30
WIDTH, HEIGHT = 640, 480


def write_clip(path: Path, photos: list[str]) -> None:
    """Write the clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE // 2)}
        for photo in photos:
            with av.open(photo) as file:
                image = next(file.decode(video=0)).to_ndarray(format="bgr24", width=WIDTH, height=HEIGHT)
            for _ in range(RATE):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    folder, port, *photos = sys.argv[1:]
    if not (Path(folder) / "clip.mp4").exists():
        write_clip(Path(folder) / "clip.mp4", photos)
    asyncio.run(serve(folder, host="127.0.0.1", port=int(port)))

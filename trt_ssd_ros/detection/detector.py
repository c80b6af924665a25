"""Detector: images in, Detections out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections, clip_boxes, nms, scale_boxes
from trt_ssd_ros.detection.engine import IN_FLIGHT, AsynchronousEngine, DegradableEngine, InferenceEngine, Tensors
from trt_ssd_ros.detection.engine_sizes import EngineSizes
from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.detection.started_run import StartedRun
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.detection.views import WHOLE, Views, merge_views
from trt_ssd_ros.images.frame import ChannelOrder, Frame
from trt_ssd_ros.images.resize import BatchResize, Resize
from trt_ssd_ros.models.card import ModelCard

CHANNEL_ORDERS: dict[ChannelOrder, NDArray[np.int32]] = {
    "rgb": np.array([0, 1, 2], np.int32),
    "bgr": np.array([2, 1, 0], np.int32),
}
Images: TypeAlias = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""
RESIZES_ON = ("host", "engine")
"""Where images are resized to the network's input.

host: the CPU resizes, so that only the network's input is converted, copied and uploaded.
engine: the graph resizes the whole image.
"""


@dataclass
class DetectorCounts:
    """Counts of processed images; each view of an image counts as one.

    Attributes:
        images: Processed images.
        unsettled: Images whose NMS ran on the host, because the graph's NMS did not converge or `host_nms` is set.
        saturated: Images that filled every candidate slot, so that NMS may have missed weaker candidates.
    """

    images: int = 0
    unsettled: int = 0
    saturated: int = 0


class Detector:
    """Detection graph with its engine and thresholds.

    `thresholds` and `resize_on` may be replaced between calls. Like its engine, a detector belongs to one thread.

    Args:
        engine: Engine that runs the graph.
        card: Model card that the graph was composed from.
        host_nms: Whether to run NMS on the host instead of the engine's; see `detection/agreement.py`.

    Attributes:
        resize_on: Where images are resized to the network's input, one of RESIZES_ON.
        batch_sizes: Numbers of images that run together, largest first; empty: any number.
        batch_resize: Resize on the host; by default in one thread.
        engine_sizes: Image sizes that `detect_frames` lets the engine resize; by default all.
    """

    resize_on = "engine"

    def __init__(self, engine: InferenceEngine, card: ModelCard, host_nms: bool = False) -> None:
        self.card = card
        self.batch_resize = BatchResize(Resize(card.input.width, card.input.height, card.input.resize))
        self.thresholds = Thresholds.uniform(card)
        self.counts = DetectorCounts()
        self.engine_sizes = EngineSizes()
        self.batch_sizes: tuple[int, ...] = (1,) if engine.inputs["image"].shape[0] == 1 else ()
        self._engine = engine
        self._host_nms = host_nms
        self._running: deque[StartedRun] = deque()
        self._most_running = IN_FLIGHT

    @property
    def engine_name(self) -> str:
        """Runtime, version and device, as readable text."""
        return self._engine.name

    @property
    def engine_kind(self) -> str:
        """Backend of the engine; see `InferenceEngine.kind`."""
        return self._engine.kind

    @property
    def degraded(self) -> str:
        """Reason why the engine does not run as chosen; empty while it does."""
        return self._engine.degraded if isinstance(self._engine, DegradableEngine) else ""

    @property
    def in_flight(self) -> int:
        """Most batches that run at once; 1: `start_batch` returns when the batch is done."""
        return IN_FLIGHT if isinstance(self._engine, AsynchronousEngine) else 1

    @property
    def precision(self) -> str:
        """Precision of the network's arithmetic: `fp32`, `fp16` or `int8`."""
        return self._engine.precision

    def memory_used(self) -> int | None:
        """Return the GPU memory in use in bytes; see `InferenceEngine.memory_used`."""
        return self._engine.memory_used()

    def detect(self, image: NDArray[np.uint8], channel_order: ChannelOrder = "bgr") -> Detections:
        """Detect the objects in one image.

        Args:
            image: Image (H, W, 3) uint8, any height and width, contiguous or not.
            channel_order: Order of the image's channels.

        Returns:
            Boxes in pixels of this image, highest score first, without boxes that are outside it or have no area.

        Raises:
            ValueError: The image has another type or shape.
        """
        return self.detect_batch([image], channel_order)[0]

    def detect_frame(self, frame: Frame, views: Views = WHOLE) -> Detections:
        """Detect the objects in a camera image; see `detect_frames`."""
        return self.detect_frames([(frame, views)])[0]

    def detect_frames(self, frames: Sequence[tuple[Frame, Views]]) -> list[Detections]:
        """Detect the objects in camera images, each in its views.

        Images that the host resizes are not converted before, and run together. If the engine resizes, only the
        region of an image is converted, and images run one after the other, each prepared while the one before
        runs if both have one size; several views of an image, and sizes that `engine_sizes` does not admit, are
        resized on the host all the same.

        Args:
            frames: Images, each with its views.

        Returns:
            Detections of each image, in its pixels; see `detect`. Those of several views are merged.

        Raises:
            ValueError: A region lies outside its image.
        """
        return [wait() for wait in self.start_frames(frames)]

    def start_frames(self, frames: Sequence[tuple[Frame, Views]]) -> list[Callable[[], Detections]]:
        """Start to detect the objects in camera images; see `detect_frames`.

        Returns:
            Function for each image that waits for its detections and returns them. If the engine resizes, it
            raises the engine's error for this image; the others are not affected.

        Raises:
            ValueError: A region lies outside its image, or `resize_on` is host, and the engine refuses the images.
        """
        if not frames:
            return []
        seen = [views.windows(frame.size[1], frame.size[0]) for frame, views in frames]
        parts = [
            [_part(frame, window) for window in windows] for (frame, _), windows in zip(frames, seen, strict=True)
        ]
        waits: list[Callable[[], list[Detections]]]
        if self.resize_on == "host":
            rest = iter(self._detect_parts(list(chain.from_iterable(parts))))
            waits = [partial(list, tuple(islice(rest, len(views)))) for views in parts]
        else:
            overlap = len(parts) > 1 and self.in_flight > 1
            waits = [self._start_views(views, overlap) for views in parts]
        return [partial(self._merged, windows, wait) for windows, wait in zip(seen, waits, strict=True)]

    def _start_views(self, views: Sequence[Frame], overlap: bool) -> Callable[[], list[Detections]]:
        """Start to detect in the views of an image; the engine resizes a single one.

        Args:
            views: Views of the image.
            overlap: Whether another image may run meanwhile; else the engine runs once the result is wanted, as it
                does for views that the host resizes.
        """
        if self._are_for_host(views):
            return partial(self._detect_parts, views)
        images, order = [views[0].pixels], views[0].channel_order
        return self.start_batch(images, order) if overlap else partial(self.detect_batch, images, order)

    def _are_for_host(self, views: Sequence[Frame]) -> bool:
        """Return whether the host resizes the views of an image although the engine resizes; call it once."""
        return len(views) > 1 or not self.engine_sizes.admits(views[0].size)

    def _detect_parts(self, parts: Sequence[Frame]) -> list[Detections]:
        """Resize images on the host, and detect in as few batches as possible."""
        parts = [part.demosaiced() for part in parts]  # once, not in each thread that resizes a band
        order = parts[0].channel_order

        def resize(part: Frame, band: Resize, place: NDArray[np.uint8]) -> None:
            pixels = part.resized(band)
            np.copyto(place, pixels if part.channel_order == order else pixels[..., ::-1])

        found: list[Detections] = []
        for batch in self._batches(len(parts)):
            images = self.batch_resize(parts[batch], resize)
            found += self._run(images, order, [part.size for part in parts[batch]])
        return found

    def _merged(self, windows: Sequence[Window], wait: Callable[[], Sequence[Detections]]) -> Detections:
        """Wait for the detections of the views of an image, and return them in pixels of the image."""
        inside = [window.to_image(detections) for window, detections in zip(windows, wait(), strict=True)]
        if len(inside) == 1:
            return inside[0]
        return merge_views(windows, inside, self.thresholds.iou)[: self.thresholds.max_detections]

    def detect_batch(
        self, images: Images, channel_order: ChannelOrder = "bgr", sizes: Sequence[Size] | None = None
    ) -> list[Detections]:
        """Detect the objects in several images.

        If the host resizes, they run together, else those of one size that follow each other.

        Args:
            images: Images (H, W, 3) uint8; as an array, (N, H, W, 3).
            channel_order: Order of the images' channels.
            sizes: Height and width in pixels of the whole images that `images` are reduced from; boxes are in
                pixels of these. None: the sizes of `images`.

        Returns:
            Detections of each image; see `detect`.

        Raises:
            ValueError: An image has another type or shape, or no pixels.
        """
        found: list[Detections] = []
        for group, group_sizes in self._groups(images, sizes):
            found += self._run(group, channel_order, group_sizes)
        return found

    def prepare_batches(self, largest: int) -> None:
        """Restrict batches to a few sizes, and run each of them once.

        An engine may compile kernels and reserve memory for each size when it first comes. So other batches are
        divided into the sizes 1, 2, 3, 4, 6, 8, 12, 16, 24, ... and `largest`.
        """
        steps = {factor << power for power in range(largest.bit_length()) for factor in (1, 3)}
        sizes = tuple(sorted({largest, *(step for step in steps if step < largest)}, reverse=True))
        if self.batch_sizes == (1,):
            sizes = (1,)
        blank = np.zeros((largest, self.card.input.height, self.card.input.width, 3), np.uint8)
        for size in sizes:
            self.detect_batch(blank[:size])
        self.batch_sizes, self.counts = sizes, DetectorCounts()

    def start_batch(
        self, images: Images, channel_order: ChannelOrder = "bgr", sizes: Sequence[Size] | None = None
    ) -> Callable[[], list[Detections]]:
        """Start to detect the objects in several images; see `detect_batch`.

        If as many batches as `in_flight` run already, the oldest is completed first.

        Returns:
            Function that waits for the batch and returns the detections of each image, or raises the error of the
            batch. It may be called in any order and again, also after `close`, in the thread of the detector.

        Raises:
            ValueError: An image has another type or shape, or no pixels.
        """
        if not isinstance(self._engine, AsynchronousEngine):
            found = self.detect_batch(images, channel_order, sizes)
            return lambda: found
        start = self._engine.start
        runs = [
            self._start(start, group, channel_order, group_sizes)
            for group, group_sizes in self._groups(images, sizes)
        ]
        return lambda: [detections for run in runs for detections in run.result()]

    def _groups(self, images: Images, sizes: Sequence[Size] | None) -> Iterator[tuple[Images, Sequence[Size]]]:
        """Check images, and yield those that run together, resized if the host resizes, with their `sizes`."""
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise ValueError(
                    f"image: found {image.dtype} {list(image.shape)}, expected uint8 [H, W, 3] with pixels"
                )
        sizes = [(image.shape[0], image.shape[1]) for image in images] if sizes is None else sizes
        if self.resize_on == "host":
            images = self.batch_resize(images)
        rest = iter(sizes)
        for alike in [images] if isinstance(images, np.ndarray) else _of_one_size(images):
            for batch in self._batches(len(alike)):
                yield alike[batch], list(islice(rest, len(alike[batch])))

    def _batches(self, count: int) -> Iterator[slice]:
        """Divide a number of images into batches of `batch_sizes`."""
        start = 0
        while start < count:
            size = next((size for size in self.batch_sizes if size <= count - start), count - start)
            yield slice(start, start + size)
            start += size

    def _run(self, images: Images, channel_order: ChannelOrder, sizes: Sequence[Size]) -> list[Detections]:
        """Run the engine on images of one size; boxes are in pixels of images of `sizes`."""
        self._complete(0)
        thresholds = self.thresholds
        outputs = self._engine.run(_inputs(images, channel_order, thresholds))
        return self._finish_batch(sizes, thresholds, outputs)

    def _start(
        self,
        start: Callable[[Tensors], Callable[[], Tensors]],
        images: Images,
        channel_order: ChannelOrder,
        sizes: Sequence[Size],
    ) -> StartedRun:
        """Start the engine on images of one size, after those in flight if it has no room for more."""
        inputs = _inputs(images, channel_order, self.thresholds)
        shape, finish = inputs["image"].shape, partial(self._finish_batch, sizes, self.thresholds)
        alike = self._running and self._running[-1].shape == shape
        self._complete(self._most_running - 1 if alike else 0)
        run = StartedRun(shape, partial(start, inputs), finish)
        if run.ran_out and self._running:  # each run in flight needs memory of its own
            self._most_running = 1
            self._complete(0)
            run = StartedRun(shape, partial(start, inputs), finish)
        self._running.append(run)
        return run

    def _complete(self, most: int) -> None:
        """Complete the oldest runs until at most `most` are in flight."""
        while self._running and (len(self._running) > most or self._running[0].is_done):
            self._running.popleft().complete()

    def _finish_batch(self, sizes: Sequence[Size], thresholds: Thresholds, outputs: Tensors) -> list[Detections]:
        """Return the detections of each image of a batch."""
        return [
            self._finish(outputs, index, width, height, thresholds) for index, (height, width) in enumerate(sizes)
        ]

    def _finish(self, outputs: Tensors, index: int, width: int, height: int, thresholds: Thresholds) -> Detections:
        """Return the detections among one image's candidates; if needed, run NMS on the host."""
        boxes, scores, class_ids = (outputs[name][index] for name in ("boxes", "scores", "class_ids"))
        self.counts.images += 1
        self.counts.saturated += scores.item(-1) > 0
        keep = outputs["keep"][index]
        if self._host_nms or not outputs["settled"][index]:
            self.counts.unsettled += 1
            keep = nms(boxes, scores, class_ids, self.card.overlap_limit(thresholds.iou))
        kept = keep.nonzero()[0]
        if not kept.size:
            return Detections.empty()
        scaled = clip_boxes(scale_boxes(boxes[kept], width, height), width, height)
        seen = (scaled[:, 2:] > scaled[:, :2]).all(axis=1).nonzero()[0][: thresholds.max_detections]
        return Detections(scaled[seen], scores[kept[seen]], class_ids[kept[seen]])

    def close(self) -> None:
        """Complete the batches that are running, then close the engine; further calls do nothing."""
        self._complete(0)
        self.batch_resize.close()
        self._engine.close()


def _part(frame: Frame, window: Window) -> Frame:
    """Return the part of an image in a window."""
    if (window.top, window.left, window.bottom, window.right) == (0, 0, *frame.size):
        return frame
    return frame.cropped(window.left, window.top, window.right, window.bottom)


def _of_one_size(images: Sequence[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    """Group images of one size that follow each other."""
    return (list(alike) for _, alike in groupby(images, np.shape))


def _inputs(images: Images, channel_order: ChannelOrder, thresholds: Thresholds) -> Tensors:
    """Return the inputs of the graph for images of one size."""
    return {
        "image": images if isinstance(images, np.ndarray) else _batch(images),
        "channel_order": CHANNEL_ORDERS[channel_order],
        **thresholds.tensors,
    }


def _batch(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return images of one size as an array (N, H, W, 3); a single image is not copied."""
    return images[0][None] if len(images) == 1 else np.stack(images)

"""Image messages, taken serialised: equal to what rclpy reads, in memory of their own, and refused if broken."""

from __future__ import annotations

import gc
import random
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from weakref import ref

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as some
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trt_ssd_ros.images.frame import Frame, frame_from_message
from trt_ssd_ros.node.image_input import ImageSubscription
from trt_ssd_ros.node.image_messages import read_compressed, read_raw
from trt_ssd_ros.node.sequence_gaps import SequenceGaps
from trt_ssd_ros.ros.message_memory import MAX_BLOCKS, MessageMemory
from trt_ssd_ros.ros.serialized_take import SerializedMessage, SerializedTake
from trt_ssd_ros.ros.transport import without_events

pytestmark = pytest.mark.ros

PATIENCE = 20
RAW = ("height", "width", "encoding", "is_bigendian", "step")

headers = some.builds(
    Header,
    stamp=some.builds(Time, sec=some.integers(-(2**31), 2**31 - 1), nanosec=some.integers(0, 2**32 - 1)),
    frame_id=some.text(some.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9),
)
images = some.builds(
    Image,
    header=headers,
    height=some.integers(0, 2**32 - 1),
    width=some.integers(0, 2**32 - 1),
    encoding=some.sampled_from(["", "bgr8", "yuv422_yuy2", "8UC3"]),
    is_bigendian=some.integers(0, 255),
    step=some.integers(0, 2**32 - 1),
    data=some.binary(max_size=9),
)


def serialized(message: Any) -> memoryview:
    """The bytes of a message."""
    return memoryview(serialize_message(message))


@given(images)
@settings(deadline=None)
def test_a_raw_image_has_the_fields_that_rclpy_reads(image):
    found = read_raw(serialized(image))
    assert [getattr(found, name) for name in RAW] == [getattr(image, name) for name in RAW]
    assert found.header == image.header
    assert bytes(found.data) == image.data.tobytes()


@given(some.builds(CompressedImage, header=headers, format=some.text("jpeg; ", max_size=9), data=some.binary()))
@settings(deadline=None)
def test_a_compressed_image_is_the_message_that_rclpy_reads(image):
    assert read_compressed(serialized(image)) == image


@pytest.mark.parametrize(("kind", "order"), [(b"\0\0", ">"), (b"\0\6", ">"), (b"\0\1", "<"), (b"\0\7", "<")])
def test_both_byte_orders_are_read(kind, order):
    message = kind + b"\0\0" + struct.pack(f"{order}iII", -5, 7, 4) + b"cam\0" + struct.pack(f"{order}II", 2, 1)
    message += struct.pack(f"{order}I", 6) + b"mono8\0" + b"\1\0" + struct.pack(f"{order}II", 1, 2) + b"\x10\x20"
    found = read_raw(memoryview(message))
    assert found.header == Header(stamp=Time(sec=-5, nanosec=7), frame_id="cam")
    assert [getattr(found, name) for name in RAW] == [2, 1, "mono8", 1, 1]
    assert bytes(found.data) == b"\x10\x20"


@pytest.mark.parametrize(("read", "message"), [(read_raw, Image), (read_compressed, CompressedImage)])
def test_a_message_that_is_cut_short_anywhere_is_refused(read, message):
    whole = serialize_message(message(header=Header(frame_id="camera"), data=[1, 2, 3, 4]))
    end = whole.rindex(b"\4\0\0\0\1\2\3\4") + 8
    for length in range(end):
        with pytest.raises(ValueError, match=r"cut short|encapsulation"):
            read(memoryview(whole[:length]))
    assert bytes(read(memoryview(whole[:end])).data) == b"\1\2\3\4"


@given(some.binary(max_size=99).map(lambda rest: b"\0\1\0\0" + rest))
@settings(deadline=None)
def test_other_bytes_are_read_or_refused(message):
    for read in (read_raw, read_compressed):
        with suppress(ValueError):
            read(memoryview(message))


class Wire:
    """A publisher, and what takes its messages."""

    def __init__(self, context: Context, reliable: QoSProfile) -> None:
        self.node = Node("camera", context=context)
        self.publisher = self.node.create_publisher(Image, "image", reliable)
        self.subscription = self.node.create_subscription(
            Image, "image", print, reliable, event_callbacks=without_events()
        )
        self.take = SerializedTake(self.subscription.handle)
        self.until(lambda: self.publisher.get_subscription_count() == 1)

    @staticmethod
    def until(is_so: Callable[[], Any]) -> Any:
        """Wait until something is so, and return it: the middleware has no event for it."""
        for _ in range(100 * PATIENCE):
            if found := is_so():
                return found
            threading.Event().wait(0.01)
        raise TimeoutError

    def send(self, size: int) -> SerializedMessage:
        """Send an image of random bytes, and take it."""
        image = Image(encoding="mono8", height=1, width=size, step=size, data=random.randbytes(size))  # noqa: S311
        self.publisher.publish(image)
        taken = self.until(self.take)
        assert bytes(read_raw(taken.content).data) == image.data.tobytes()
        return taken


@pytest.fixture
def wire(domain: int) -> Iterator[Wire]:
    """One in a domain of its own."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    yield Wire(context, QoSProfile(depth=5))
    context.try_shutdown()


def test_images_of_any_sizes_are_taken_into_memory_of_their_own(wire):
    sizes = [1000, 300_000, 300_000, 5, 0, 299_999, 300_001, 2_000_000, 7]
    taken = [wire.send(size) for size in sizes]
    before = [bytes(message.content) for message in taken]
    wire.send(500_000)
    assert [message.content for message in taken] == before
    numbers = [message.number for message in taken]
    if rclpy.get_rmw_implementation_identifier() == "rmw_fastrtps_cpp":
        assert numbers == list(range(1, len(sizes) + 1))


def test_without_a_message_nothing_is_taken(wire):
    assert wire.take() is None
    wire.send(10)
    assert wire.take() is None
    assert wire.send(10)


def test_an_error_of_rcl_is_raised_with_its_text(wire):
    take = SerializedTake(SimpleNamespace(pointer=0))
    with pytest.raises(RuntimeError, match=r"rcl_take_serialized_message returned .*invalid"):
        take()
    assert wire.send(10), "the error is reset"


def test_too_little_memory_is_an_error_and_not_a_crash(wire, monkeypatch):
    def borrow(memory: MessageMemory, size: int) -> Any:
        if size > 500:
            raise MemoryError
        return lend(memory, size)

    lend = MessageMemory.borrow
    with monkeypatch.context() as patch:
        patch.setattr(MessageMemory, "borrow", borrow)
        wire.publisher.publish(Image(data=bytes(1000)))
        with pytest.raises(RuntimeError, match="rcl_take_serialized_message returned"):
            wire.until(wire.take)
    assert wire.send(1000)


def test_memory_is_used_again_once_the_message_is_gone(wire):
    places = set()
    for _ in range(20):
        taken = wire.send(100_000)
        places.add(np.asarray(taken.content).ctypes.data)
    assert len(places) <= 2, "the message before is in use while the next one is taken"
    kept = [wire.send(100_000) for _ in range(2 * MAX_BLOCKS)]
    assert len({np.asarray(message.content).ctypes.data for message in kept}) == len(kept)


def test_pixels_alone_keep_the_memory():
    memory = MessageMemory()
    image = Image(encoding="bgr8", height=2, width=5, step=15, data=range(30))
    for part in (lambda frame: frame, lambda frame: frame.pixels, lambda frame: frame.pixels[1:, ::2]):
        block = memory.borrow(200)
        content = serialized(image)
        block[: len(content)] = content
        address = block.ctypes.data
        kept = part(frame_from_message(read_raw(memoryview(block)[: len(content)])))
        pixels = kept.pixels if isinstance(kept, Frame) else kept
        assert np.may_share_memory(pixels, block), "it is a view"
        del block, pixels
        assert memory.borrow(200).ctypes.data != address
        del kept
        places = [memory.borrow(200) for _ in range(MAX_BLOCKS)]
        assert address in {place.ctypes.data for place in places}
        del places


def test_a_take_is_freed_at_once(wire):
    take = SerializedTake(wire.subscription.handle)
    wire.publisher.publish(Image(data=bytes(1000)))
    assert wire.until(take)
    freed = ref(take)
    gc.disable()
    try:
        del take
        assert freed() is None
    finally:
        gc.enable()


class Channel:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.images: list[Any] = []
        self.refusals: list[str] = []

    def receive(self, message: Any) -> Any:
        """See Receiver."""
        self.images.append(message)
        return message

    def reject(self, reason: str) -> None:
        """See Receiver."""
        self.refusals.append(reason)


@pytest.mark.parametrize("case", ["other bytes", "no memory"])
def test_an_image_that_cannot_be_taken_is_refused_and_counted_once(wire, monkeypatch, case):
    channel, gaps = Channel(), SequenceGaps()
    source = ImageSubscription(wire.subscription, read_raw, channel, gaps)
    alone = frozenset(["camera"])
    wire.publisher.publish(Image(width=1))
    wire.until(source.take)
    with monkeypatch.context() as patch:
        if case == "no memory":
            patch.setattr(MessageMemory, "borrow", _out_of_memory)
            wire.publisher.publish(Image(width=2))
        else:
            wire.publisher.publish(b"\0\1\0\0no image")
        wire.until(lambda: source.take() or channel.refusals)
    [reason] = channel.refusals
    assert reason.startswith("the message cannot be read: ")
    wire.publisher.publish(Image(width=3))
    wire.until(source.take)
    assert [image.width for image in channel.images] == [1, 3]
    assert gaps.collect(alone) == {}, "nothing counts as dropped"
    source.lost.close()


def _out_of_memory(_: MessageMemory, __: int) -> Any:
    raise MemoryError


def test_more_memory_than_there_is_is_an_error():
    with pytest.raises(MemoryError, match="bytes: "):
        MessageMemory().borrow(2**60)

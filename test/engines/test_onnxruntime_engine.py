from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest

from trt_ssd_ros.detection.engine import TensorSpec, check_inputs
from trt_ssd_ros.engines import onnxruntime_engine
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_session
from trt_ssd_ros.models.graph import compose

MODEL = onnx.parser.parse_model(
    """<ir_version: 8, opset_import: ["": 17]>
    example (uint8[N, H, 4, 3] image, int32[3] order, float[1] offset) => (float[N, H, 4, 3] sum, int32[3] same) {
        pixels = Cast<to = 1>(image)
        sum = Add(pixels, offset)
        same = Identity(order)
    }"""
)


@pytest.fixture(scope="module")
def engine() -> OnnxRuntimeEngine:
    """An engine that adds a number to an image."""
    return OnnxRuntimeEngine(MODEL)


def inputs(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """Good inputs of MODEL, and what a test changes in them."""
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)
    return {"image": image, "order": np.arange(3, dtype=np.int32), "offset": np.ones(1, np.float32), **changes}


def test_outputs_come_by_name(engine):
    outputs = engine.run(inputs())
    assert set(outputs) == {"sum", "same"}
    np.testing.assert_array_equal(outputs["sum"], inputs()["image"].astype(np.float32) + 1)
    assert outputs["same"].tolist() == [0, 1, 2]


def test_inputs_tell_type_and_shape(engine):
    assert engine.inputs == {
        "image": TensorSpec(np.dtype(np.uint8), ("N", "H", 4, 3)),
        "order": TensorSpec(np.dtype(np.int32), (3,)),
        "offset": TensorSpec(np.dtype(np.float32), (1,)),
    }


def test_the_shipped_graph_takes_what_its_documentation_says(shipped_engine):
    assert shipped_engine.inputs == {
        "image": TensorSpec(np.dtype(np.uint8), ("N", "H", "W", 3)),
        "channel_order": TensorSpec(np.dtype(np.int32), (3,)),
        "class_threshold": TensorSpec(np.dtype(np.float32), (90,)),
        "iou_threshold": TensorSpec(np.dtype(np.float32), (1,)),
    }


def test_the_name_says_runtime_and_device(engine):
    assert "ONNX Runtime" in engine.name
    assert "CPU" in engine.name


WRONG = [
    ("image", np.zeros((1, 5, 4, 3), np.float32), r"input image: found float32 \[1, 5, 4, 3\], expected uint8"),
    ("image", np.zeros((1, 5, 4, 3), np.int8), "input image: found int8"),
    ("image", np.zeros((5, 4, 3), np.uint8), r"input image: found uint8 \[5, 4, 3\]"),
    ("image", np.zeros((1, 5, 4, 4), np.uint8), r"input image: found uint8 \[1, 5, 4, 4\]"),
    ("image", np.zeros((1, 5, 3, 3), np.uint8), r"input image: .*expected uint8 \['N', 'H', 4, 3\]"),
    ("order", np.zeros(3, np.int64), r"input order: found int64 \[3\], expected int32 \[3\]"),
    ("order", np.zeros(2, np.int32), r"input order: found int32 \[2\]"),
    ("offset", np.zeros((), np.float32), r"input offset: found float32 \[\]"),
    ("offset", np.zeros(1, np.float64), "input offset: found float64"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_type_or_shape_names_the_tensor(engine, name, value, message):
    with pytest.raises(ValueError, match=message):
        engine.run(inputs(**{name: value}))


def test_a_missing_input_is_named(engine):
    for name in ("image", "order", "offset"):
        others = {key: value for key, value in inputs().items() if key != name}
        with pytest.raises(ValueError, match=f"expected .*'{name}'"):
            engine.run(others)
        with pytest.raises(ValueError, match=r"inputs: found \[\], expected"):
            engine.run({})


def test_an_unknown_input_is_named(engine):
    with pytest.raises(ValueError, match=r"found .*'stranger'.*, expected"):
        engine.run(inputs(stranger=np.zeros(1)))


def test_dynamic_dimensions_take_any_size():
    spec = TensorSpec(np.dtype(np.uint8), ("N", "H"))
    for shape in [(1, 1), (7, 3)]:
        check_inputs({"x": spec}, {"x": np.zeros(shape, np.uint8)})


def padded_rows(image: np.ndarray) -> np.ndarray:
    """The same pixels with unused bytes after every row, as a camera's step makes them."""
    wide = np.full((*image.shape[:-2], image.shape[-2] + 3, 3), 99, np.uint8)
    wide[..., :-3, :] = image
    return wide[..., :-3, :]


def bgra_view(image: np.ndarray) -> np.ndarray:
    """The same pixels as three of the four channels of a bgra image."""
    return np.concatenate([image, np.full((*image.shape[:-1], 1), 99, np.uint8)], axis=-1)[..., :3]


def column_major(image: np.ndarray) -> np.ndarray:
    return np.asfortranarray(image)


def mirrored(image: np.ndarray) -> np.ndarray:
    """The same pixels with negative strides."""
    return np.ascontiguousarray(image[..., ::-1, ::-1, :])[..., ::-1, ::-1, :]


def read_only(image: np.ndarray) -> np.ndarray:
    view = image.view()
    view.setflags(write=False)
    return view


@pytest.mark.parametrize("strided", [padded_rows, bgra_view, column_major, mirrored, read_only])
def test_strided_inputs_give_what_contiguous_ones_give(engine, strided):
    image = inputs()["image"]
    view = strided(image)
    np.testing.assert_array_equal(view, image)
    np.testing.assert_array_equal(engine.run(inputs(image=view))["sum"], engine.run(inputs())["sum"])


@pytest.mark.parametrize("strided", [padded_rows, bgra_view, mirrored])
def test_strided_photographs_give_identical_detections(detector, photo, strided):
    image = cv2.resize(photo("astronaut"), (320, 240))
    found, expected = detector.detect(strided(image)), detector.detect(image)
    assert len(expected) > 0
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 4), (10, 10, 1), (1, 10, 10, 3)])
def test_an_image_of_another_shape_is_refused(detector, shape):
    with pytest.raises(ValueError, match="image: found uint8"):
        detector.detect(np.zeros(shape, np.uint8))


def test_an_image_of_another_type_is_refused(detector):
    with pytest.raises(ValueError, match="image: found float32"):
        detector.detect(np.zeros((10, 10, 3), np.float32))


def test_close_may_be_called_twice():
    engine = OnnxRuntimeEngine(MODEL)
    engine.close()
    engine.close()


def test_a_missing_runtime_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeError, match="pip install onnxruntime"):
        OnnxRuntimeEngine(MODEL)


@pytest.mark.parametrize(
    ("version", "threads", "cores", "of", "opened", "spin"),
    [
        ("1.26.0", 0, 2, 2, 2, "20"),
        ("1.27rc1", 0, 1, 16, 1, "20"),
        ("2.0", 2, 16, 16, 2, "20"),
        ("1.31.1", 0, 16, 16, 0, None),
        ("1.31.1", 0, 4, 16, 4, None),
        ("1.31.1", 4, 2, 2, 4, None),
        ("1.25.1", 0, 2, 2, 2, None),
        ("1.25.1", 8, 16, 16, 8, None),
    ],
)
def test_only_two_threads_spin_and_only_where_there_is_a_limit(
    monkeypatch, version, threads, cores, of, opened, spin
):
    entries, options = {}, SimpleNamespace()
    options.add_session_config_entry = entries.__setitem__
    library = SimpleNamespace(
        __version__=version, SessionOptions=lambda: options, InferenceSession=lambda *_, **__: "session"
    )
    monkeypatch.setattr(onnxruntime_engine, "load_onnxruntime", lambda: library)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr("os.cpu_count", lambda: of)
    assert open_session(onnx.ModelProto(), threads) == "session"
    assert options.intra_op_num_threads == opened
    assert entries == (
        {"session.intra_op.spin_duration_us": spin} if spin else {"session.intra_op.allow_spinning": "0"}
    )


def test_the_precision_is_that_of_the_network(shipped_engine, quantized, card):
    assert (shipped_engine.precision, OnnxRuntimeEngine(compose(quantized, card)).precision) == ("fp32", "int8")


@pytest.mark.parametrize(("variable", "kept"), [(None, "1"), ("0", "0")])
def test_nothing_is_told_of_what_runs_here_unless_the_user_wants_that(tmp_path, variable, kept):
    """ONNX Runtime writes an identifier into the home folder before it sends anything."""
    script = "import os, trt_ssd_ros, onnxruntime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    others = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    environment = {**others, "HOME": str(tmp_path)} | ({"ORT_DISABLE_TELEMETRY": variable} if variable else {})
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == kept
    assert kept == "0" or not list(tmp_path.iterdir())

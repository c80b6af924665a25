"""A graph with as many slots as the images fill gives what the graph with all slots gives, under ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from output_kinds import decoded_card, rows_card, rows_network
from table_network import (
    ANCHORS,
    CLASSES,
    LOW,
    THRESHOLDS,
    chain,
    chains,
    nothing,
    picture,
    pictures,
    run,
    table_card,
    table_network,
)

from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.graph import compose

SLOTS = 40


@pytest.fixture(
    scope="module",
    params=[table_card(), decoded_card(clip_before_nms=True)],
    ids=["raw heads", "corners, clipped"],
)
def engines(request: pytest.FixtureRequest) -> tuple[OnnxRuntimeEngine, OnnxRuntimeEngine]:
    """The graph with SLOTS slots, and the one with as many as the images fill."""
    network = table_network()
    every, filled = (OnnxRuntimeEngine(compose(network, request.param, SLOTS, some)) for some in (False, True))
    return every, filled


@settings(max_examples=60)
@given(pictures(batch=2) | chains(), THRESHOLDS)
def test_the_filled_slots_are_those_of_the_graph_with_all(engines, rows, thresholds):
    every, filled = (run(engine, rows, thresholds) for engine in engines)
    slots = filled["scores"].shape[1]
    for name in ("boxes", "scores", "class_ids", "keep"):
        np.testing.assert_array_equal(filled[name], every[name][:, :slots])
    assert not every["scores"][:, slots:].any()
    np.testing.assert_array_equal(filled["settled"], every["settled"])


@pytest.mark.parametrize(
    ("lengths", "slots"), [([0], 1), ([0, 0], 1), ([7], 8), ([3, 7, 0], 8), ([SLOTS - 1], SLOTS), ([60], SLOTS)]
)
def test_the_fullest_image_of_a_batch_decides_and_one_slot_stays_empty(engines, lengths, slots):
    rows = np.stack([chain(length) if length else nothing() for length in lengths])
    assert run(engines[1], rows, LOW)["scores"].shape == (len(lengths), slots)


def test_a_threshold_that_all_scores_reach_fills_all_slots():
    engine, rows = OnnxRuntimeEngine(compose(table_network(), table_card(), SLOTS, True)), np.stack([nothing()])
    all_pass = {"class_threshold": np.zeros(CLASSES, np.float32), "iou_threshold": np.ones(1, np.float32)}
    inputs = {"image": picture(rows), "channel_order": np.array([0, 1, 2], np.int32), **all_pass}
    assert engine.run(inputs)["scores"].shape == (1, min(SLOTS, ANCHORS * CLASSES))


def test_rows_of_a_network_with_its_own_nms():
    card, network = rows_card(), rows_network()
    image = np.full((1, card.input.height, card.input.width, 3), 128, np.uint8)
    image[0, 0, :, 0] = [128, 129, 228, 133, 138, 148, 168]
    thresholds = {"class_threshold": np.full(CLASSES, 0.5, np.float32), "iou_threshold": np.ones(1, np.float32)}
    inputs = {"image": image, "channel_order": np.array([0, 1, 2], np.int32), **thresholds}
    every, filled = (OnnxRuntimeEngine(compose(network, card, None, some)).run(inputs) for some in (False, True))
    assert filled["scores"].tolist() == [[1, 0]]
    np.testing.assert_array_equal(filled["boxes"], every["boxes"][:, :2])
    np.testing.assert_array_equal(filled["class_ids"], every["class_ids"][:, :2])

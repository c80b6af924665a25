"""The graph that a server runs, under ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from output_kinds import rows_card, rows_network

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.served_graph import HASH_OUTPUT, compose_served, graph_digest

PICTURES = ("chelsea", "astronaut", "coffee")


@pytest.fixture(scope="module")
def served(network: onnx.ModelProto, card: ModelCard) -> OnnxRuntimeEngine:
    """The served graph of the shipped model."""
    return OnnxRuntimeEngine(compose_served(network, card))


def test_each_image_of_a_batch_has_its_own_thresholds(served, shipped_engine, shipped_graph, card, photo):
    """Requests of different robots may share a batch, and each gets the outputs that it gets alone."""
    classes, size = len(card.labels), (card.input.width, card.input.height)
    images = [photo(name, *size) for name in PICTURES]
    scores, overlaps = (0.01, 0.2, 0.5), (0.3, 0.5, 0.9)
    batch = served.run(
        {
            "image": np.stack(images)[..., ::-1],
            "class_thresholds": np.array([[score] * classes for score in scores], np.float32),
            "iou_thresholds": np.array(overlaps, np.float32)[:, None],
        }
    )
    assert batch["settled"].shape == (3, 1)
    assert (batch[HASH_OUTPUT] == graph_digest(shipped_graph)).all()
    for number, image in enumerate(images):
        alone = shipped_engine.run(
            {
                "image": image[None],
                "channel_order": CHANNEL_ORDERS["bgr"],
                "class_threshold": np.full(classes, scores[number], np.float32),
                "iou_threshold": np.array([overlaps[number]], np.float32),
            }
        )
        for name, array in alone.items():
            np.testing.assert_array_equal(batch[name][number].reshape(array[0].shape), array[0], err_msg=name)


def test_a_network_for_single_images_keeps_its_batch_of_one(single_card_path):
    card = ModelCard.load(single_card_path)
    engine = OnnxRuntimeEngine(compose_served(load_network(card), card))
    assert {name: spec.shape[0] for name, spec in engine.inputs.items()} == dict.fromkeys(engine.inputs, 1)


def test_the_hash_ignores_the_notes_of_onnx_and_nothing_else(shipped_graph):
    def changed(change: Callable[[onnx.ModelProto], object]) -> bool:
        model = onnx.ModelProto()
        model.CopyFrom(shipped_graph)
        change(model)
        return bool((graph_digest(model) != graph_digest(shipped_graph)).any())

    note = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1])
    assert not changed(lambda model: model.graph.value_info.append(note))
    assert not changed(lambda model: setattr(model.graph, "doc_string", "a text"))
    assert not changed(lambda model: setattr(model, "producer_version", "2"))
    assert changed(lambda model: model.graph.node.pop())
    assert changed(lambda model: setattr(model.graph.initializer[0], "raw_data", b"\0\0\0\0"))


def test_another_card_of_the_same_network_has_another_hash(network, card, shipped_graph):
    other = compose(network, card, candidates=card.defaults.candidates - 1)
    assert (graph_digest(other) != graph_digest(shipped_graph)).any()


def test_a_network_with_its_own_nms_is_refused():
    with pytest.raises(ModelCardError, match="a server cannot batch a network with its own NMS"):
        compose_served(rows_network(), rows_card())

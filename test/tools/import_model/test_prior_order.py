"""import_model on the two orders of the prior boxes of a cell that TensorFlow's Object Detection API had."""

from __future__ import annotations

import numpy as np
import pytest
from import_runs import assert_finds, corners_of, picture, raw_heads, sigmoid
from permuted_heads import SECOND, with_shapes_in_order
from ssd_networks import FPN_320, TF_300, Net, decoded, heads, nchw, raw_network

from trt_ssd_ros.models.priors import SsdAnchorGenerator

LAST = tuple(range(6))
ORDERS = {"last": LAST, "second": SECOND}


@pytest.mark.parametrize(
    ("order", "name", "expected"),
    [
        ("last", "chelsea", ["cat"]),
        ("second", "chelsea", ["cat"]),
        ("second", "coffee", ["cup", "dining table"]),
    ],
)
def test_a_large_object_gives_one_box(run_import, network, card, photo, repository, order, name, expected):
    model = with_shapes_in_order(network, ORDERS[order])
    image = ("--image", str(repository / "photos" / f"{name}.jpg"))
    imported = run_import(model, *image)
    assert f"the interpolated square of the prior boxes is {order}, as boxes of one cell" in imported.said
    assert imported.card.priors == SsdAnchorGenerator((19, 10, 5, 3, 2, 1), interpolated=order)
    text = (imported.folder / "net.yaml").read_text()
    assert ("interpolated: second" in text, "interpolated: last" in text) == (order == "second", False)
    found = imported.detector(0.3).detect(photo(name))
    assert [card.labels[class_id] for class_id in found.class_ids] == expected


def test_the_other_order_gives_several_boxes(run_import, network, photo):
    """The option is followed, even though the photo shows another order."""
    model = with_shapes_in_order(network, SECOND)
    imported = run_import(model, "--interpolated", "last")
    assert len(imported.detector(0.3).detect(photo("chelsea"))) > 2


def test_an_order_that_the_photo_does_not_show_is_asked_for(refused):
    error = refused(raw_network(TF_300))
    assert "the photo does not show the position of the interpolated square" in error
    assert "give --interpolated last or second" in error


@pytest.mark.parametrize("order", ["last", "second"])
def test_the_network_s_own_corners_show_the_order(run_import, order):
    net, priors = Net(), SsdAnchorGenerator(TF_300.maps, interpolated=order).priors(300, 300)
    boxes, _ = heads(net, nchw(net, TF_300), TF_300, names=("raw", "logits"))
    swapped = net("Gather", boxes, net.constant([1, 0, 3, 2], np.int64), axis=2)
    decoded(net, swapped, priors, name="corners", order="yxyx")
    net.output("raw", ["N", 1917, 4])
    net.output("logits", ["N", 1917, 91])
    net.output("corners", ["N", 1917, 4])
    imported = run_import(net.model(), "--boxes", "raw", "--scores", "logits")
    assert imported.card.priors.interpolated == order
    assert "they decode to the network's own corners" in imported.said
    image = picture(300, 300)
    encoded, logits = raw_heads(TF_300, image / 127.5 - 1)
    corners = corners_of(encoded, priors.astype(np.float64), "yxhw")
    assert_finds(imported, corners, sigmoid(logits)[:, 1:], image)


def test_an_order_of_other_prior_boxes_is_refused(refused):
    error = refused(raw_network(FPN_320), "--interpolated", "second")
    assert "--interpolated: found second, which the prior boxes of this network do not have: omit it" in error

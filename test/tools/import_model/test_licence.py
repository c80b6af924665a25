"""The licence that an ONNX file states."""

from __future__ import annotations

import onnx
import pytest
from ssd_networks import TINY, Net, decoded_network, nchw

from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.tools.import_model.licence import stated_licence


def network(doc: str = "", **metadata: str) -> onnx.ModelProto:
    """A network with a description and metadata."""
    net = Net()
    model = decoded_network(net, nchw(net, TINY))
    model.doc_string = doc
    onnx.helper.set_model_props(model, metadata)
    return model


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("License: Apache-2.0", "Apache-2.0"),
        ("SSD on COCO.\nlicence = MIT\nby Ada", "MIT"),
        ("SPDX-License-Identifier: BSD-3-Clause", "BSD-3-Clause"),
        ("Licensed under the Apache License, Version 2.0. See LICENSE.", "Apache License, Version 2.0"),
        ('{"license": "CC-BY-4.0", "by": "Ada"}', "CC-BY-4.0"),
        ("Converted from MediaPipe (Apache-2.0)", "Apache-2.0"),
        ("trained by people at MIT", ""),
        ("a drone's licence plates", ""),
        ("may not be licensed under any terms; license: contact sales@example.com", ""),
        ("classes, license: plates", ""),
        ('Licensed under the Apache License, Version 2.0 (the "License")', "Apache License, Version 2.0"),
        ("License:\n", ""),
        ("", ""),
    ],
)
def test_descriptions(doc, expected):
    assert stated_licence(network(doc)) == expected


@pytest.mark.parametrize("key", ["license", "Licence", "general.license", "license_name", "spdx"])
def test_metadata_come_before_descriptions(key):
    assert stated_licence(network("License: MIT", **{"author": "Ada", key: " AGPL-3.0\nand so on"})) == "AGPL-3.0"


def test_metadata_of_something_else_are_descriptions():
    assert stated_licence(network(license_plates="12", comment="licence: ISC")) == "ISC"


def test_the_graph_s_description_counts():
    model = network()
    model.graph.doc_string = "license: Zlib"
    assert stated_licence(model) == "Zlib"


def test_a_network_that_is_written_states_it_as_well(run_import, labels):
    net = Net()
    model = decoded_network(net, nchw(net, TINY, batch=1))
    onnx.helper.set_model_props(model, {"license": "Apache-2.0"})
    imported = run_import(model, *labels("a", "b", "c"), "--family", "other")
    assert imported.card.onnx.path.name == "net.ssd.onnx"
    assert stated_licence(load_network(imported.card)) == "Apache-2.0"


@pytest.mark.parametrize(
    ("doc", "flags", "expected"),
    [
        ("License: Apache-2.0", (), "Apache-2.0"),
        ("License: Apache-2.0", ("--licence", "MIT"), "MIT"),
        ("no word of it", (), "unknown"),
    ],
)
def test_the_card_has_it(run_import, labels, doc, flags, expected):
    imported = run_import(network(doc), *labels("a", "b", "c"), "--family", "other", *flags)
    assert imported.card.licence == expected
    assert ("licence   Apache-2.0, stated in the ONNX file" in imported.said) == doc.startswith("License")

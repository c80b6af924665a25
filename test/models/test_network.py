"""A model card and its network: the file, the fit, and what is said where they do not fit."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from trt_ssd_ros.models.card import ModelCard, ModelCardError
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import batch_size, check_fit, load_network
from trt_ssd_ros.models.priors import SsdAnchorGenerator


def with_onnx(card: ModelCard, path: Path, content: bytes) -> ModelCard:
    """Write a network file and return the card that describes it, hash and all."""
    path.write_bytes(content)
    return replace(card, onnx=replace(card.onnx, path=path, sha256=hashlib.sha256(content).hexdigest()))


def test_a_missing_network_is_named(card, tmp_path):
    path = tmp_path / "none.onnx"
    with pytest.raises(ModelCardError, match=r"onnx\.path: found .*none\.onnx .*, expected a readable file"):
        load_network(replace(card, onnx=replace(card.onnx, path=path)))


def test_another_network_s_hash_is_named(card, tmp_path):
    wrong = with_onnx(card, tmp_path / "a.onnx", b"as it was")
    wrong.onnx.path.write_bytes(b"as it is")
    digest = hashlib.sha256(b"as it is").hexdigest()
    with pytest.raises(ModelCardError, match=rf"onnx\.sha256: found {digest} in .*, expected {wrong.onnx.sha256}"):
        load_network(wrong)


@pytest.mark.parametrize("content", [b"", b"no network", b"<html>404</html>"])
def test_a_file_that_is_no_network_is_named(card, tmp_path, content):
    with pytest.raises(ModelCardError) as caught:
        load_network(with_onnx(card, tmp_path / "a.onnx", content))
    assert caught.value.field == "onnx.path"
    assert "a.onnx" in str(caught.value)


def with_tensor(tensor: TensorProto, where: str) -> onnx.ModelProto:
    """Build a network that has a tensor somewhere."""
    model = interface()
    graph = model.graph
    if where == "initializer":
        graph.initializer.append(tensor)
    elif where == "attribute":
        graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=tensor))
    elif where == "list attribute":
        graph.node.append(onnx.helper.make_node("X", [], ["c"], values=[tensor]))
    elif where == "sparse":
        graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensor, dims=[1]))
    elif where == "subgraph":
        branch = onnx.helper.make_graph([], "branch", [], [], [tensor])
        graph.node.append(onnx.helper.make_node("If", ["x"], ["c"], then_branch=branch))
    else:
        node = onnx.helper.make_node("Constant", [], ["c"], value=tensor)
        opsets = [onnx.helper.make_opsetid("", 17)]
        model.functions.append(onnx.helper.make_function("d", "f", [], ["c"], [node], opsets))
    return model


PLACES = ["initializer", "attribute", "list attribute", "sparse", "subgraph", "function"]


@pytest.mark.parametrize("where", PLACES)
def test_a_network_that_reads_another_file_is_refused(card, tmp_path, where):
    (tmp_path / "secret").write_bytes(bytes(4))
    for place in ("secret", "../../etc/passwd", "/etc/passwd"):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)
        content = with_tensor(tensor, where).SerializeToString()
        with pytest.raises(ModelCardError, match=f"tensor 'w' with its data in '{place}', expected one file"):
            load_network(with_onnx(card, tmp_path / "a.onnx", content))


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("dims", [[10**6, 10**6], [-1], [-(10**6), -(10**6)]])
def test_a_tensor_that_announces_more_than_it_has_is_refused(card, tmp_path, where, dims):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(4))
    content = with_tensor(tensor, where).SerializeToString()
    with pytest.raises(ModelCardError, match=r"tensor 'w' of .* bytes, expected one file with all its data"):
        load_network(with_onnx(card, tmp_path / "a.onnx", content))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT4, TensorProto.FLOAT16, TensorProto.BOOL])
def test_tensors_that_hold_what_they_announce_are_taken(card, tmp_path, kind):
    tensors = [
        onnx.helper.make_tensor("w", kind, [2, 8], [1] * 16),
        onnx.helper.make_tensor("e", kind, [0, 7], []),
    ]
    model = interface()
    model.graph.initializer.extend(tensors)
    load_network(with_onnx(card, tmp_path / "a.onnx", model.SerializeToString()))


def test_a_network_is_a_regular_file(card):
    with pytest.raises(ModelCardError, match="/dev/zero is not a regular file, expected an ONNX file"):
        load_network(replace(card, onnx=replace(card.onnx, path=Path("/dev/zero"))))


def interface(opset: int = 17) -> onnx.ModelProto:
    """Build a network without nodes that looks like the shipped one from outside."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": {opset}]>
        net (float[N, 300, 300, 3] x) => (float[N, 1917, 4] boxes, float[N, 1917, 91] scores) {{}}"""
    )


@pytest.fixture
def small_card(card: ModelCard) -> ModelCard:
    """The shipped card with the tensor names of `interface`."""
    return replace(
        card,
        input=replace(card.input, tensor="x"),
        outputs=replace(card.outputs, boxes="boxes", scores="scores"),
    )


@pytest.mark.parametrize("opset", [9, 11, 13, 16, 17, 18, 21])
def test_a_card_fits_any_opset(small_card, opset):
    check_fit(interface(opset), small_card)


def test_dynamic_dimensions_fit(small_card):
    network = interface()
    for tensor in (*network.graph.input, *network.graph.output):
        for dimension in tensor.type.tensor_type.shape.dim:
            dimension.dim_param = "any"
    check_fit(network, small_card)


@pytest.mark.parametrize(
    ("section", "change", "field", "found", "expected"),
    [
        ("input", {"tensor": "image"}, "input.tensor", "'image'", "one of the network's tensors ['x']"),
        ("outputs", {"boxes": "x"}, "outputs.boxes", "'x'", "one of the network's tensors ['boxes', 'scores']"),
        ("outputs", {"scores": "logits"}, "outputs.scores", "'logits'", "['boxes', 'scores']"),
        ("input", {"height": 320}, "input.tensor", "300, 300, 3", "320, 300, 3"),
        ("input", {"width": 320}, "input.tensor", "300, 300, 3", "300, 320, 3"),
        ("input", {"layout": "NCHW"}, "input.tensor", "300, 300, 3", "3, 300, 300"),
        ("outputs", {"background": "none"}, "outputs.scores", "1917, 91", "1917, 90"),
        ("outputs", {"boxes": "scores"}, "outputs.boxes", "1917, 91", "1917, 4"),
    ],
)
def test_a_card_that_does_not_fit_is_named(small_card, section, change, field, found, expected):
    wrong = replace(small_card, **{section: replace(getattr(small_card, section), **change)})
    with pytest.raises(ModelCardError) as caught:
        check_fit(interface(), wrong)
    assert caught.value.field.startswith(field)
    before, after = str(caught.value).split(", expected ", maxsplit=1)
    assert found in before
    assert expected in after


def test_a_network_that_takes_other_numbers_than_floats_is_named(small_card):
    network = interface()
    network.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    with pytest.raises(
        ModelCardError, match=r"input\.tensor x: found TensorProto.UINT8, expected FLOAT or FLOAT16"
    ):
        check_fit(network, small_card)


def test_another_number_of_priors_is_named(small_card):
    with pytest.raises(ModelCardError, match=r"outputs\.boxes.*1917.*expected.*1083.*priors"):
        check_fit(interface(), replace(small_card, priors=SsdAnchorGenerator((19,))))


@pytest.mark.parametrize("count", [89, 91])
def test_another_number_of_labels_is_named(small_card, count):
    labels = tuple(f"label {index}" for index in range(count))
    with pytest.raises(ModelCardError, match=rf"outputs\.scores.*91.*expected.*{count + 1}.*labels"):
        check_fit(interface(), replace(small_card, labels=labels))


def test_a_network_of_another_rank_is_named(small_card):
    network = interface()
    del network.graph.output[0].type.tensor_type.shape.dim[2]
    with pytest.raises(ModelCardError, match=r"outputs\.boxes"):
        check_fit(network, small_card)


def test_compose_checks_the_fit_first(card, network):
    with pytest.raises(ModelCardError, match=r"outputs\.scores"):
        compose(network, replace(card, labels=card.labels[1:]))


def test_a_network_of_one_batch_size_gives_a_graph_of_that_batch_size(card, network):
    """Else the graph would promise any batch and fail when it runs."""
    fixed = copy.deepcopy(network)
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert (batch_size(network, card), batch_size(fixed, card)) == ("N", 1)
    image, *_ = compose(fixed, card).graph.input
    assert image.type.tensor_type.shape.dim[0].dim_value == 1

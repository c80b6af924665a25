"""Understand a network: try the candidates for boxes and scores, and find where their pixels enter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.models.onnx_graph import CONVOLUTIONS, OnnxGraph
from trt_ssd_ros.tools.import_model.box_form import are_corners, box_form
from trt_ssd_ros.tools.import_model.cells import HeadCells
from trt_ssd_ros.tools.import_model.entry import Entry, find_entry, side_tensors
from trt_ssd_ros.tools.import_model.evidence import HeadEvidence, as_rows, cells_of, judge_heads
from trt_ssd_ros.tools.import_model.final_detections import find_final
from trt_ssd_ros.tools.import_model.heads import (
    CONVOLUTION_LIKE,
    LAYOUT,
    Heads,
    NotFoundError,
    as_arrays,
    check_boxes,
    from_final,
    from_inside,
    from_names,
    from_outputs,
    is_all,
    is_raw,
)
from trt_ssd_ros.tools.import_model.image_tensor import Arrays, EntryError
from trt_ssd_ros.tools.import_model.network_file import inventory
from trt_ssd_ros.tools.import_model.nms import from_onnx_nms, from_plugin, nms_facts
from trt_ssd_ros.tools.import_model.probe import PhotoProbe
from trt_ssd_ros.tools.import_model.standard_network import StandardNetwork, standard_network


@dataclass(frozen=True)
class Finding:
    """Boxes and scores in a network, and where pixels enter it.

    Attributes:
        heads: Tensors of its results.
        entry: Tensor where its pixels enter.
        values: Values of the heads for a photo.
        evidence: Evidence of the graph on raw heads; None of others.
        cells: Cells that the rows of scores come from; None where nothing tells.
    """

    heads: Heads
    entry: Entry
    values: Arrays
    evidence: HeadEvidence | None = None
    cells: HeadCells | None = None


@dataclass(frozen=True, kw_only=True)
class Understood(Finding):
    """Finding in a network, with the network before and after.

    Attributes:
        graph: The network as it was read.
        network: The network as it goes to the card.
    """

    graph: OnnxGraph
    network: StandardNetwork

    def detections(self) -> NDArray[Any]:
        """Return label, score and corners (D, 6) of the final detections in the photo."""
        if self.heads.final:
            rows = self.heads.final.rows(self.values)
        else:
            table = self.values[self.heads.boxes].reshape(-1, 7)
            rows = table[(table[:, 0] >= 0) & (table[:, 1] >= 0), 1:]
        return rows[rows[:, 1] > 0]


def understand(graph: OnnxGraph, photo: NDArray[np.uint8], stated: Mapping[str, Any]) -> Understood:
    """Find entry and heads, and bring the network into form.

    Raises:
        ValueError: They cannot be told; lists what is in the network.
    """
    told = {name: stated[name] for name in ("size", "mean", "scale") if name in stated}
    probe = PhotoProbe(graph, photo, **told)
    try:
        found = find_heads(probe, stated)
        sides = probe.fixed_values(side_tensors(graph, found.entry, found.heads.tensors))
        network = standard_network(graph, found.entry, found.heads, found.values, sides, found.evidence)
    except (NotFoundError, EntryError) as error:
        raise ValueError(f"{error}\n{inventory(graph)}") from error
    return Understood(**vars(found), graph=graph, network=network)


def find_heads(probe: PhotoProbe, stated: Mapping[str, Any]) -> Finding:
    """Find boxes and scores, and what they are for a photo.

    Raw heads are only taken where some family's prior boxes fit them; else what the network itself makes of them,
    as far as TensorRT can run that; else its final detections.
    """
    unknown = None
    for heads in candidates(probe, stated):
        found = look_at(probe, heads, stated)
        if found.evidence is None or fitting(found.evidence, stated):
            return found
        if found.evidence.corners:
            return look_at(probe, decoded_by_network(found), stated)
        unknown = unknown or found
    if unknown is None:
        raise NotFoundError(
            "no pair of tensors in this network looks like boxes and scores: name them with --boxes and --scores"
        )
    return unknown


def fitting(evidence: HeadEvidence, stated: Mapping[str, Any]) -> list[str]:
    """Return the families that may be the network's, only the stated one if there is one."""
    return [name for name in evidence.families if stated.get("family") in (None, name)]


def decoded_by_network(found: Finding) -> Heads:
    """Return the corners that a network makes of raw heads itself, instead of them."""
    assert found.evidence is not None
    why = "corners that the network decodes itself, as no family's prior boxes give the same"
    return replace(
        found.heads, boxes=found.evidence.corners, why=why, facts={**found.heads.facts, "decoded": True}
    )


def candidates(probe: PhotoProbe, stated: Mapping[str, Any]) -> Iterator[Heads]:
    """Yield what may be boxes and scores, the best first."""
    graph = probe.graph
    if bool(stated.get("boxes")) != bool(stated.get("scores")):
        raise NotFoundError("--boxes and --scores go together")
    sure = from_names(graph, stated["boxes"], stated["scores"]) if stated.get("boxes") else from_plugin(graph)
    if sure is not None:
        yield sure
        return
    values = probe.values(probe.of_image(tail_tensors(graph)))
    shapes = as_arrays(values)
    final = find_final(graph, values)
    taken = {column.tensor for way in final for column in (way.score, way.label)}
    inside = (from_inside(graph, shapes), from_onnx_nms(graph, shapes))
    found = [from_outputs(graph, shapes, taken), *(heads for heads in inside if heads and is_all(graph, heads))]
    facts = nms_facts(graph)
    yield from (replace(heads, facts={**facts, **heads.facts}) for heads in found if heads is not None)
    if final:
        yield from_final(final)


def look_at(probe: PhotoProbe, heads: Heads, stated: Mapping[str, Any]) -> Finding:
    """Return what heads are for a photo, and where pixels enter."""
    values = probe.values([*heads.tensors, *([heads.priors.tensor] if heads.priors else [])])
    if heads.scores:
        check_boxes(heads, values[heads.boxes].shape)
    entry = find_entry(probe.graph, heads.tensors, stated.get("size"))
    is_encoded = (
        heads.scores
        and not heads.priors
        and not heads.facts.get("decoded")
        and is_raw(probe.graph, heads.boxes)
        and not are_corners(values[heads.boxes])
    )
    if is_encoded:
        evidence = judge_heads(probe, heads, values[heads.boxes], entry.size)
        return Finding(heads, entry, values, evidence, evidence.score_cells)
    if not heads.scores:
        return Finding(heads, entry, values)
    rows = as_rows(values[heads.boxes])
    cells = cells_of(probe, heads.scores, len(rows))
    form = "corners" if heads.priors else box_form(heads.boxes, rows, cells, entry.size)
    return Finding(replace(heads, form=form), entry, values, None, cells)


def output_names(graph: OnnxGraph) -> list[str]:
    """Return the names of a network's outputs, but for sequences and the like."""
    outputs = graph.model.graph.output
    return [item.name for item in outputs if item.type.WhichOneof("value") in (None, "tensor_type")]


def tail_tensors(graph: OnnxGraph) -> list[str]:
    """Return the tensors behind the last convolutions that may be heads."""
    convolutions = [index for index, node in enumerate(graph.nodes) if node.op_type in CONVOLUTIONS]
    before = graph.before(name for index in convolutions for name in graph.nodes[index].input)
    likely = LAYOUT | CONVOLUTION_LIKE | {"Sigmoid", "Softmax"}
    tail = [node for index, node in enumerate(graph.nodes) if index not in before and node.op_type in likely]
    return [*dict.fromkeys([*output_names(graph), *(node.output[0] for node in tail)])]

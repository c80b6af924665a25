"""Analysis of a network: its boxes and scores, and the entry of pixels."""

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
    """Boxes and scores in a network, and the entry of pixels.

    Attributes:
        heads: Tensors of boxes and scores.
        entry: Entry of pixels.
        values: Values of the heads for a photo, by tensor name.
        evidence: Evidence on raw heads; None for other results.
        cells: Feature map cell of each row of scores; None if unknown.
    """

    heads: Heads
    entry: Entry
    values: Arrays
    evidence: HeadEvidence | None = None
    cells: HeadCells | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkAnalysis(Finding):
    """Findings in a network, with the network before and after its conversion.

    Attributes:
        graph: Graph of the original network.
        network: Network that the card describes.
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


def analyse(graph: OnnxGraph, photo: NDArray[np.uint8], options: Mapping[str, Any]) -> NetworkAnalysis:
    """Find entry and heads, and convert the network to the form that cards describe.

    Args:
        graph: Graph of the network.
        photo: Photo to run the network on, (H, W, 3).
        options: The user's values of card fields, by command-line option.

    Raises:
        ValueError: Entry or heads cannot be identified; the message lists inputs, outputs and last operators.
    """
    given = {name: options[name] for name in ("size", "mean", "scale") if name in options}
    probe = PhotoProbe(graph, photo, **given)
    try:
        found = find_heads(probe, options)
        sides = probe.fixed_values(side_tensors(graph, found.entry, found.heads.tensors))
        network = standard_network(graph, found.entry, found.heads, found.values, sides, found.evidence)
    except (NotFoundError, EntryError) as error:
        raise ValueError(f"{error}\n{inventory(graph)}") from error
    return NetworkAnalysis(**vars(found), graph=graph, network=network)


def find_heads(probe: PhotoProbe, options: Mapping[str, Any]) -> Finding:
    """Find boxes and scores, and their values for a photo.

    Raw heads qualify only if a family's prior boxes match them. Next come corners that the network decodes itself,
    if TensorRT can run that, and then its final detections.
    """
    unknown = None
    for heads in candidates(probe, options):
        found = run_heads(probe, heads, options)
        if found.evidence is None or matching_families(found.evidence, options):
            return found
        if found.evidence.corners:
            return run_heads(probe, decoded_by_network(found), options)
        unknown = unknown or found
    if unknown is None:
        raise NotFoundError(
            "no pair of tensors in this network looks like boxes and scores: name them with --boxes and --scores"
        )
    return unknown


def matching_families(evidence: HeadEvidence, options: Mapping[str, Any]) -> list[str]:
    """Return the names of the families that match the evidence and the user's option."""
    return [name for name in evidence.families if options.get("family") in (None, name)]


def decoded_by_network(found: Finding) -> Heads:
    """Return the corners that a network decodes from raw heads as its heads."""
    assert found.evidence is not None
    why = "corners that the network decodes itself, as no family's prior boxes decode to them"
    return replace(
        found.heads, boxes=found.evidence.corners, why=why, facts={**found.heads.facts, "decoded": True}
    )


def candidates(probe: PhotoProbe, options: Mapping[str, Any]) -> Iterator[Heads]:
    """Yield possible boxes and scores, best first."""
    graph = probe.graph
    if bool(options.get("boxes")) != bool(options.get("scores")):
        raise NotFoundError("--boxes and --scores: found only one of them, expected both or none")
    known = from_names(graph, options["boxes"], options["scores"]) if options.get("boxes") else from_plugin(graph)
    if known is not None:
        yield known
        return
    values = probe.values(probe.of_image(tail_tensors(graph)))
    shapes = as_arrays(values)
    final = find_final(graph, values)
    not_scores = {column.tensor for reading in final for column in (reading.score, reading.label)}
    inside = (from_inside(graph, shapes), from_onnx_nms(graph, shapes))
    found = [
        from_outputs(graph, shapes, not_scores),
        *(heads for heads in inside if heads and is_all(graph, heads)),
    ]
    facts = nms_facts(graph)
    yield from (replace(heads, facts={**facts, **heads.facts}) for heads in found if heads is not None)
    if final:
        yield from_final(final)


def run_heads(probe: PhotoProbe, heads: Heads, options: Mapping[str, Any]) -> Finding:
    """Run the network up to its heads on a photo, and find the entry of pixels."""
    values = probe.values([*heads.tensors, *([heads.priors.tensor] if heads.priors else [])])
    if heads.scores:
        check_boxes(heads, values[heads.boxes].shape)
    entry = find_entry(probe.graph, heads.tensors, options.get("size"))
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
    """Return the names of a network's outputs that are tensors."""
    outputs = graph.model.graph.output
    return [item.name for item in outputs if item.type.WhichOneof("value") in (None, "tensor_type")]


def tail_tensors(graph: OnnxGraph) -> list[str]:
    """Return the names of the tensors after the last convolutions that may be heads."""
    convolutions = [index for index, node in enumerate(graph.nodes) if node.op_type in CONVOLUTIONS]
    before = graph.before(name for index in convolutions for name in graph.nodes[index].input)
    likely = LAYOUT | CONVOLUTION_LIKE | {"Sigmoid", "Softmax"}
    tail = [node for index, node in enumerate(graph.nodes) if index not in before and node.op_type in likely]
    return [*dict.fromkeys([*output_names(graph), *(node.output[0] for node in tail)])]

"""Draft of a model card: its fields from the user's options, the graph and the family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import nms
from trt_ssd_ros.models.card_file import generator_document
from trt_ssd_ros.tools.import_model.analysis import NetworkAnalysis
from trt_ssd_ros.tools.import_model.box_form import are_pixels, corner_order, to_corners
from trt_ssd_ros.tools.import_model.entry import side_tensors
from trt_ssd_ros.tools.import_model.evidence import as_rows
from trt_ssd_ros.tools.import_model.families import BOX_SCALES, FAMILIES, SsdFamily
from trt_ssd_ros.tools.import_model.heads import conversion_after, roots
from trt_ssd_ros.tools.import_model.image_tensor import Size
from trt_ssd_ros.tools.import_model.input_draft import Document, InputDraft, UserOptions, normalises_as
from trt_ssd_ros.tools.import_model.labels import COCO, class_labels, read_labels
from trt_ssd_ros.tools.import_model.prior_order import choose_order
from trt_ssd_ros.tools.import_model.standard_network import prior_boxes

DUPLICATE_IOU = 0.8
"""Intersection over union above which a box duplicates a better one of its class."""
MAX_DUPLICATES = 0.05
"""Highest share of duplicates among the final detections of a network."""


@dataclass
class OutputDraft:
    """Draft of a card's section on the outputs.

    Attributes:
        found: Analysed network.
        family: Family of the network.
        background: Position of the background column: first, last or none.
        user: Options of the user.
    """

    found: NetworkAnalysis
    family: SsdFamily
    background: str
    user: UserOptions

    def document(self) -> Document:
        """Return the section on the outputs."""
        network, heads = self.found.network, self.found.heads
        if not network.scores:
            return self.detections()
        document: Document = {"boxes": network.boxes, "scores": network.scores}
        if self.found.evidence is not None:
            order = self.user.options.get("box_order") or self.family.box_order
            document = {"kind": "raw_heads", **document, "box_order": order, "box_scales": list(BOX_SCALES)}
        elif heads.priors:
            value = self.found.values[heads.priors.tensor]
            centres = np.tile(prior_boxes(heads.priors, value, network.count)[0], 2)
            units = self.units(centres, "xyxy", self.found.entry.size)
            document = {"kind": "decoded_boxes", **document, "box_order": "xyxy", **units}
        else:
            corners = to_corners(as_rows(self.found.values[heads.boxes]), heads.form)
            order = self.user.options.get("box_order") or self.order_of(corners)
            document = {
                "kind": "decoded_boxes",
                **document,
                "box_order": order,
                **self.units(corners, order, self.size_of(corners, order)),
            }
        document |= {"score_conversion": self.conversion(), "background": self.background}
        return document | ({"clip_before_nms": True} if self.clips() else {})

    def detections(self) -> Document:
        """Return the section of a network that ends in its own NMS."""
        corners = self.found.detections()[:, 2:]
        order = self.final_order()
        document = {"kind": "detections", "rows": self.found.network.boxes, "background": self.background}
        if not len(corners):
            raise ValueError(
                "the network detects nothing in the photo, so the unit of its boxes is unknown: give --image of a "
                "photo in which it detects something, and --mean and --scale of its pixels (default: -1 to 1)"
            )
        found = self.found
        if found.heads.final:
            self.check_suppressed()
        is_rescaled = bool(side_tensors(found.graph, found.entry, found.heads.tensors))
        size = found.entry.fed if is_rescaled else found.entry.size
        units = self.units(corners, order, size)
        return {**document, **({"box_order": order} if order != "xyxy" else {}), **units}

    def check_suppressed(self) -> None:
        """Check that final detections are free of duplicates, as the composed graph does not suppress them.

        Raises:
            ValueError: Too many detections are duplicates.
        """
        rows = self.found.detections().astype(np.float32)
        kept = nms(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int32), DUPLICATE_IOU)
        if np.mean(kept) < 1 - MAX_DUPLICATES:
            raise ValueError(
                f"{np.count_nonzero(~kept)} of {len(kept)} detections in the photo duplicate a better one of "
                "their class, expected detections after NMS: name all boxes and the scores of all classes with "
                "--boxes and --scores, or export the network with its NMS"
            )

    def final_order(self) -> str:
        """Return the corner order of final detections: the user's, the family's, or prompted for."""
        stated = self.user.options.get("box_order")
        if stated or self.found.heads.final is None:
            return str(stated or "xyxy")
        if self.family.final_order is None:
            return self.prompt_order()
        self.user.assume(f"final boxes are {self.family.final_order}, the order of its family")
        return self.family.final_order

    def order_of(self, corners: NDArray[Any]) -> str:
        """Return the order of corners (A, 4): from the cells of their scores, else prompted for."""
        cells = self.found.cells
        order = corner_order(corners, cells.centres()) if cells else None
        if order is None:
            return self.prompt_order()
        self.user.assume(f"boxes are {order}, the order that matches the feature map cells of their scores")
        return order

    def prompt_order(self) -> str:
        """Prompt for the order of corners."""
        question = "the graph does not state the order of a box's corners"
        return self.user.prompt("box_order", question, ("xyxy", "yxyx"))

    def size_of(self, corners: NDArray[Any], order: str) -> Size:
        """Return height and width of the image that corners refer to: as fed, or at the first convolution."""
        entry, cells = self.found.entry, self.found.cells
        if cells is None or not are_pixels(corners):
            return entry.size
        middles = (corners[:, :2] + corners[:, 2:])[:, :: 1 if order == "xyxy" else -1] / 2
        sizes = (entry.size, entry.fed)
        return min(sizes, key=lambda size: float(np.median(np.abs(middles / size[::-1] - cells.centres()))))

    def units(self, corners: NDArray[Any], order: str, size: Size) -> Document:
        """Return the `box_scales` that normalise corners; nothing if corners are normalised already."""
        if not are_pixels(corners):
            return {}
        self.user.assume("boxes are in pixels of the input")
        height, width = size
        sides = [width, height] if order == "xyxy" else [height, width]
        return {"box_scales": [float(side) for side in sides * 2]}

    def clips(self) -> bool:
        """Return whether boxes are clipped to the image before NMS: by the graph, else by the family."""
        evidence = self.found.evidence
        return self.family.clip_before_nms if evidence is None or evidence.clips is None else evidence.clips

    def conversion(self) -> str:
        """Return the conversion of class predictions to scores of 0 to 1."""
        heads, graph = self.found.heads, self.found.graph
        known = self.user.options.get("score_conversion") or heads.facts.get("score_conversion")
        if known:
            return str(known)
        if roots(graph, heads.scores) & {"Sigmoid", "Softmax"}:
            return "none"
        after = conversion_after(graph, heads.scores)
        if after:
            return after
        scores = self.found.values[heads.scores]
        if scores.min() >= 0 and scores.max() <= 1:
            self.user.assume("scores need no conversion, as all are between 0 and 1")
            return "none"
        self.user.assume(f"scores go through a {self.family.score_conversion}, the conversion of its family")
        return self.family.score_conversion


def choose_family(found: NetworkAnalysis, user: UserOptions) -> str:
    """Return the family's name: the user's, that of a node in the graph, the only match, or prompted for.

    Raises:
        ValueError: The prior boxes match no known family, or the user did not answer.
    """
    known = user.options.get("family") or found.heads.facts.get("family")
    if known:
        return str(known)
    families = likely_families(found, user)
    if len(families) == 1:
        return families[0]
    if found.evidence is not None:
        if not families:
            raise ValueError(unknown_family_error(found))
        return user.prompt("family", f"{box_summary(found)} fit several families", families)
    if is_normalised(found, user):
        return "other"
    question = "the graph does not state how its input is normalised"
    return user.prompt("family", question, families or found.heads.facts.get("families") or list(FAMILIES))


def likely_families(found: NetworkAnalysis, user: UserOptions) -> list[str]:
    """Return the families whose prior boxes match; of several, those that match tensor names and normalisation."""
    evidence, entry = found.evidence, found.entry
    families = list(FAMILIES) if evidence is None else list(evidence.families)
    if found.network.columns == 91:  # COCO: torchvision has 90 ids, Caffe and NVIDIA 80 classes
        families = [name for name in families if not name.startswith(("caffe", "nvidia"))]
    if len(families) > 1:
        named = [name for name in families if is_named(found, FAMILIES[name])]
        if named:
            user.assume(f"the family is {' or '.join(named)}, by names in the network; if not, give --family")
        families = named or (families if evidence is not None else [])
    if len(families) > 1 and not entry.inside.is_identity:
        families = [name for name in families if normalises_as(entry, FAMILIES[name])] or families
    return families


def is_named(found: NetworkAnalysis, family: SsdFamily) -> bool:
    """Return whether the network has a name of a family in it, or all input and output names of its exporter."""
    graph = found.graph
    inputs = [tensor.name for tensor in graph.inputs]
    shown = {*inputs, *(tensor.name for tensor in graph.model.graph.output)}
    names = " ".join([*inputs, *(name for node in graph.nodes for name in (*node.output, node.name))]).lower()
    return any(word in names for word in family.names) or shown == set(family.interface)


def is_normalised(found: NetworkAnalysis, user: UserOptions) -> bool:
    """Return whether the user or the graph states the normalisation of pixels."""
    stated = "mean" in user.options and "scale" in user.options
    return stated or found.entry.takes_bytes or not found.entry.inside.is_identity


def unknown_family_error(found: NetworkAnalysis) -> str:
    """Return the error message for raw heads whose prior boxes match no known family."""
    cells = found.evidence and found.evidence.cells
    maps = f", on feature maps of {', '.join(cells.maps())} boxes," if cells else ""
    return (
        f"{box_summary(found)}{maps} match the prior boxes of no known family ({', '.join(FAMILIES)}): if the "
        "network is an SSD, export it with decoded boxes, or write the card by hand (docs/models.md)"
    )


def box_summary(found: NetworkAnalysis) -> str:
    """Return the number of boxes and the input size in pixels as text."""
    height, width = found.entry.size
    return f"{found.network.count} boxes for an input of {width}x{height}"


def draft_card(found: NetworkAnalysis, user: UserOptions) -> Document:
    """Return all fields of the card but name, licence, source and onnx.

    Raises:
        ValueError: A field is in neither the graph, the family nor the options, or contradicts the graph.
    """
    name = choose_family(found, user)
    family = FAMILIES[name]
    labels, background = class_labels(found, family, user)
    document: Document = {"family": name, "input": InputDraft(found.entry, family, user).document()}
    document["outputs"] = OutputDraft(found, family, background, user).document()
    if found.evidence is not None:
        document["priors"] = _priors(found, name, document["outputs"], user)
    elif "interpolated" in user.options:
        order = user.options["interpolated"]
        raise ValueError(f"--interpolated: found {order}, but this network's outputs need no prior boxes: omit it")
    document["labels"] = labels
    if labels == read_labels(COCO):
        document["first_class_id"] = 1
    document["defaults"] = _defaults(found, family, user)
    return document


def _priors(found: NetworkAnalysis, name: str, outputs: Document, user: UserOptions) -> Document:
    """Return the section on the prior boxes of raw heads."""
    evidence = found.evidence
    assert evidence is not None
    if name not in evidence.generators:
        others = f"; those of {' and '.join(evidence.families)} do" if evidence.families else ""
        raise ValueError(
            f"{unknown_family_error(found)}\n"
            f"the prior boxes of family {name} do not match {box_summary(found)}{others}"
        )
    if evidence.corners:
        user.assume(f"the prior boxes are {name}'s: they decode to the network's own corners")
    else:
        user.assume(f"the prior boxes are those published for {name}, with variances 0.1 and 0.2")
    return generator_document(choose_order(found, evidence.generators[name], outputs, user))


def _defaults(found: NetworkAnalysis, family: SsdFamily, user: UserOptions) -> Document:
    """Return the section on the default thresholds and counts."""
    iou = found.heads.facts.get("iou_threshold") or family.iou_threshold
    score = user.options.get("score_threshold")
    return {
        "score_threshold": 0.3 if score is None else score,
        "iou_threshold": round(float(iou), 4),
        "candidates": 400,
        "max_detections": 100,
    }

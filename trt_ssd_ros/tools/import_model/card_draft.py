"""Draft of a model card: its family, its outputs, and then the whole, from the graph, the family and the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import nms
from trt_ssd_ros.models.card_file import generator_document
from trt_ssd_ros.tools.import_model.box_form import along_cells, are_pixels, in_corners
from trt_ssd_ros.tools.import_model.entry import side_tensors
from trt_ssd_ros.tools.import_model.evidence import as_rows
from trt_ssd_ros.tools.import_model.families import BOX_SCALES, FAMILIES, SsdFamily
from trt_ssd_ros.tools.import_model.heads import conversion_after, roots
from trt_ssd_ros.tools.import_model.image_tensor import Size
from trt_ssd_ros.tools.import_model.input_draft import Document, InputDraft, Interview, normalises_as
from trt_ssd_ros.tools.import_model.labels import class_labels
from trt_ssd_ros.tools.import_model.standard_network import prior_boxes
from trt_ssd_ros.tools.import_model.understanding import Understood

ON_TOP = 0.8
"""Intersection over union of boxes of a class that no NMS leaves together."""
MOST_ON_TOP = 0.05
"""Share of them in what some other way of thinning out leaves."""


@dataclass
class OutputDraft:
    """Section on the outputs in the making.

    Attributes:
        found: What was understood.
        family: Of the network.
        background: The column that is no class.
        interview: What the user states, is asked and is told.
    """

    found: Understood
    family: SsdFamily
    background: str
    interview: Interview

    def document(self) -> Document:
        """Return the section on the outputs."""
        network, heads = self.found.network, self.found.heads
        if not network.scores:
            return self.detections()
        document: Document = {"boxes": network.boxes, "scores": network.scores}
        if self.found.evidence is not None:
            order = self.interview.stated.get("box_order") or self.family.box_order
            document = {"kind": "raw_heads", **document, "box_order": order, "box_scales": list(BOX_SCALES)}
        elif heads.priors:
            value = self.found.values[heads.priors.tensor]
            centres = np.tile(prior_boxes(heads.priors, value, network.count)[0], 2)
            units = self.units(centres, "xyxy", self.found.entry.size)
            document = {"kind": "decoded_boxes", **document, "box_order": "xyxy", **units}
        else:
            corners = in_corners(as_rows(self.found.values[heads.boxes]), heads.form)
            order = self.interview.stated.get("box_order") or self.order_of(corners)
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
                "the network finds nothing in the photo, so that the unit of its boxes cannot be told: give "
                "--image of a photo in which it finds something, and --mean and --scale of its pixels, which are "
                "taken to be -1 to 1"
            )
        found = self.found
        if found.heads.final:
            self.check_suppressed()
        is_rescaled = bool(side_tensors(found.graph, found.entry, found.heads.tensors))
        size = found.entry.fed if is_rescaled else found.entry.size
        units = self.units(corners, order, size)
        return {**document, **({"box_order": order} if order != "xyxy" else {}), **units}

    def check_suppressed(self) -> None:
        """Check that final detections are what NMS left, as no other follows.

        Raises:
            ValueError: Many lie on top of others.
        """
        rows = self.found.detections().astype(np.float32)
        kept = nms(rows[:, 2:], rows[:, 1], rows[:, 0].astype(np.int32), ON_TOP)
        if np.mean(kept) < 1 - MOST_ON_TOP:
            raise ValueError(
                f"{np.count_nonzero(~kept)} of {len(kept)} boxes that the network shows in the photo lie on top "
                "of others of their class, expected those that NMS leaves: name all boxes and the scores of all "
                "classes with --boxes and --scores, or export the network with its NMS"
            )

    def final_order(self) -> str:
        """Return which number of a corner of final detections comes first; nothing in the graph tells."""
        stated = self.interview.stated.get("box_order")
        if stated or self.found.heads.final is None:
            return str(stated or "xyxy")
        if self.family.final_order is None:
            return self.ask_order()
        self.interview.note(f"final boxes are {self.family.final_order}, as in its family")
        return self.family.final_order

    def order_of(self, corners: NDArray[Any]) -> str:
        """Return which number of a corner comes first: as the cells tell that boxes come from, else asked for."""
        cells = self.found.cells
        order = along_cells(corners, cells.centres()) if cells else None
        if order is None:
            return self.ask_order()
        self.interview.note(f"boxes are {order}: {order[0]} comes first, as the cells tell from which scores come")
        return order

    def ask_order(self) -> str:
        """Return which number of a corner comes first, as the user answers."""
        question = "nothing in the network tells which number of a box's corners comes first"
        return self.interview.ask("box_order", question, ("xyxy", "yxyx"))

    def size_of(self, corners: NDArray[Any], order: str) -> Size:
        """Return the size of the image whose pixels corners are in: at the first convolution, or as it was fed."""
        entry, cells = self.found.entry, self.found.cells
        if cells is None or not are_pixels(corners):
            return entry.size
        middles = (corners[:, :2] + corners[:, 2:])[:, :: 1 if order == "xyxy" else -1] / 2
        sizes = (entry.size, entry.fed)
        return min(sizes, key=lambda size: float(np.median(np.abs(middles / size[::-1] - cells.centres()))))

    def units(self, corners: NDArray[Any], order: str, size: Size) -> Document:
        """Return what normalises corners that are in pixels of an image of some size, if anything does."""
        if not are_pixels(corners):
            return {}
        self.interview.note("boxes are in pixels of the input")
        height, width = size
        sides = [width, height] if order == "xyxy" else [height, width]
        return {"box_scales": [float(side) for side in sides * 2]}

    def clips(self) -> bool:
        """Return whether corners are moved onto the border before NMS: as the graph does, else the family."""
        evidence = self.found.evidence
        return self.family.clip_before_nms if evidence is None or evidence.clips is None else evidence.clips

    def conversion(self) -> str:
        """Return what turns the scores into those of 0 to 1."""
        heads, graph = self.found.heads, self.found.graph
        told = self.interview.stated.get("score_conversion") or heads.facts.get("score_conversion")
        if told:
            return str(told)
        if roots(graph, heads.scores) & {"Sigmoid", "Softmax"}:
            return "none"
        after = conversion_after(graph, heads.scores)
        if after:
            return after
        scores = self.found.values[heads.scores]
        if scores.min() >= 0 and scores.max() <= 1:
            self.interview.note("scores are taken as they are: all are between 0 and 1")
            return "none"
        self.interview.note(f"scores go through a {self.family.score_conversion}, as in its family")
        return self.family.score_conversion


def choose_family(found: Understood, interview: Interview) -> str:
    """Return a family's name: stated, told by a node of the graph, the only one that fits, or asked for.

    Raises:
        ValueError: Its prior boxes are of no known family, or the user was asked and did not tell.
    """
    told = interview.stated.get("family") or found.heads.facts.get("family")
    if told:
        return str(told)
    fitting = fitting_families(found, interview)
    if len(fitting) == 1:
        return fitting[0]
    if found.evidence is not None:
        if not fitting:
            raise ValueError(of_no_family(found))
        return interview.ask("family", f"{boxes_of(found)} fit several families", fitting)
    if is_normalised(found, interview):
        return "other"
    question = "the graph does not tell how its input is normalised"
    return interview.ask("family", question, fitting or found.heads.facts.get("families") or list(FAMILIES))


def fitting_families(found: Understood, interview: Interview) -> list[str]:
    """Return the families whose prior boxes fit; of several, those that names and the normalisation tell."""
    evidence, entry = found.evidence, found.entry
    fitting = list(FAMILIES) if evidence is None else list(evidence.families)
    if found.network.columns == 91:  # torchvision counts COCO's 90 ids, Caffe and NVIDIA its 80 classes
        fitting = [name for name in fitting if not name.startswith(("caffe", "nvidia"))]
    if len(fitting) > 1:
        named = [name for name in fitting if speaks_of(found, FAMILIES[name])]
        if named:
            interview.note(f"its family is {' or '.join(named)}, as names in the network tell: else give --family")
        fitting = named or (fitting if evidence is not None else [])
    if len(fitting) > 1 and not entry.inside.is_nothing:
        fitting = [name for name in fitting if normalises_as(entry, FAMILIES[name])] or fitting
    return fitting


def speaks_of(found: Understood, family: SsdFamily) -> bool:
    """Tell whether a name in the network is one of a family's, or all inputs and outputs are called as its."""
    graph = found.graph
    inputs = [tensor.name for tensor in graph.inputs]
    shown = {*inputs, *(tensor.name for tensor in graph.model.graph.output)}
    names = " ".join([*inputs, *(name for node in graph.nodes for name in (*node.output, node.name))]).lower()
    return any(word in names for word in family.names) or shown == set(family.interface)


def is_normalised(found: Understood, interview: Interview) -> bool:
    """Tell whether it is told how pixels are normalised, without a family."""
    stated = "mean" in interview.stated and "scale" in interview.stated
    return stated or found.entry.takes_bytes or not found.entry.inside.is_nothing


def of_no_family(found: Understood) -> str:
    """Return the error for raw heads with the prior boxes of no known family."""
    cells = found.evidence and found.evidence.cells
    maps = f", on feature maps of {', '.join(cells.maps())} boxes," if cells else ""
    return (
        f"{boxes_of(found)}{maps} are the priors of no known family ({', '.join(FAMILIES)}): if this is an SSD at "
        "all, export it with its boxes decoded, or write the card by hand (docs/models.md)"
    )


def boxes_of(found: Understood) -> str:
    """Return how many boxes there are for an input of which size, for people."""
    height, width = found.entry.size
    return f"{found.network.count} boxes for an input of {width}x{height}"


def draft_card(found: Understood, interview: Interview) -> Document:
    """Return everything of the card but name, licence, source and file.

    Raises:
        ValueError: Something that is needed was not told.
    """
    name = choose_family(found, interview)
    family = FAMILIES[name]
    labels, background = class_labels(found, family, interview)
    document: Document = {"family": name, "input": InputDraft(found.entry, family, interview).document()}
    document["outputs"] = OutputDraft(found, family, background, interview).document()
    if found.evidence is not None:
        document["priors"] = _priors(found, name, interview)
    document["labels"] = labels
    document["defaults"] = _defaults(found, family, interview)
    return document


def _priors(found: Understood, name: str, interview: Interview) -> Document:
    """Return the section on the prior boxes of raw heads."""
    evidence = found.evidence
    generator = FAMILIES[name].generator(*found.entry.size, found.network.count)
    assert evidence is not None
    if generator is None or name not in evidence.families:
        fitting = f"; those of {' and '.join(evidence.families)} fit" if evidence.families else ""
        raise ValueError(
            f"{of_no_family(found)}\nfamily {name} has other prior boxes than {boxes_of(found)}{fitting}"
        )
    if evidence.corners:
        interview.note(f"the prior boxes are {name}'s: they decode to the corners that the network makes")
    else:
        interview.note(f"the prior boxes are those published for {name}, their variances .1 and .2")
    return generator_document(generator)


def _defaults(found: Understood, family: SsdFamily, interview: Interview) -> Document:
    """Return the thresholds."""
    iou = found.heads.facts.get("iou_threshold") or family.iou_threshold
    score = interview.stated.get("score_threshold")
    return {
        "score_threshold": 0.3 if score is None else score,
        "iou_threshold": round(float(iou), 4),
        "candidates": 400,
        "max_detections": 100,
    }

"""What the model card of a network must say: from the graph, from its family, and from whoever imports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from trt_ssd_ros.tools.model_import.box_form import in_corners
from trt_ssd_ros.tools.model_import.card_file import generator_document
from trt_ssd_ros.tools.model_import.head_evidence import as_rows
from trt_ssd_ros.tools.model_import.input_draft import Ask, Document, InputDraft, normalises_as
from trt_ssd_ros.tools.model_import.label_files import BACKGROUND, KNOWN_BY_COLUMNS, read_labels
from trt_ssd_ros.tools.model_import.measured_numbers import (
    along_cells,
    are_pixels,
    corner_order,
)
from trt_ssd_ros.tools.model_import.ssd_families import FAMILIES, SsdFamily
from trt_ssd_ros.tools.model_import.ssd_heads import conversion_after, roots
from trt_ssd_ros.tools.model_import.understanding import Understood


@dataclass
class Draft:
    """A card in the making. What the user states comes first, then what the graph says, then the family.

    Attributes:
        found: What was understood.
        stated: What the user stated, by flag.
        ask: How to ask for more.
        notes: What was assumed, for people.
    """

    found: Understood
    stated: Mapping[str, Any]
    ask: Ask
    notes: list[str] = field(default_factory=list)

    def document(self) -> Document:
        """Return everything of the card but name, licence, source and file.

        Raises:
            ValueError: Something that is needed was not told.
        """
        family_name = self.family()
        family = FAMILIES[family_name]
        labels, background = self.labels()
        document: Document = {"family": family_name, "input": self.input(family).document()}
        document["outputs"] = self.outputs(family, background)
        if document["outputs"]["kind"] == "raw_heads":
            document["priors"] = self.priors(family_name, family)
        document["labels"] = labels
        document["defaults"] = self.defaults(family)
        return document

    def family(self) -> str:
        """Return the family's name: stated, told by a node of the graph, the only one that fits, or asked for."""
        told = self.stated.get("family") or self.found.heads.facts.get("family")
        if told:
            return str(told)
        fitting = self.fitting_families()
        if len(fitting) == 1:
            return fitting[0]
        what = f"{self.found.network.count} boxes for an input of {self.size_text()}"
        if fitting and self.is_raw:
            return self.ask("family", f"{what} fit several families", fitting)
        if self.is_raw:
            raise ValueError(self.no_family(what))
        if self.is_normalised:
            return "other"
        return self.ask("family", "the graph does not tell how its input is normalised", fitting or list(FAMILIES))

    @property
    def is_normalised(self) -> bool:
        """Whether it is told how pixels are normalised, without a family."""
        entry = self.found.entry
        stated = "mean" in self.stated and "scale" in self.stated
        return stated or entry.takes_bytes or not entry.inside.is_nothing

    def no_family(self, what: str) -> str:
        """Return what there is to say of raw heads with prior boxes that nobody knows."""
        known = "; ".join(f"{name}: {family.about}" for name, family in FAMILIES.items())
        cells = self.found.evidence and self.found.evidence.cells
        maps = f", on feature maps of {', '.join(cells.maps())} boxes," if cells else ""
        return (
            f"{what}{maps} are the priors of no known family ({known}): export the model with its boxes decoded, "
            "or write the card by hand (docs/models.md)"
        )

    def fitting_families(self) -> list[str]:
        """Return the families whose prior boxes fit; of several, those that names and the normalisation tell."""
        named = [name for name, family in FAMILIES.items() if self.speaks_of(family)]
        evidence = self.found.evidence
        fitting = named if evidence is None else list(evidence.families)
        if (
            self.found.network.columns == 91
        ):  # Caffe and NVIDIA count the 80 classes of COCO, torchvision its 90 ids
            fitting = [name for name in fitting if not name.startswith(("caffe", "nvidia"))]
        fitting = [name for name in fitting if name in named] or fitting
        if len(fitting) > 1 and not self.found.entry.inside.is_nothing:
            entry = self.found.entry
            fitting = [name for name in fitting if normalises_as(entry, FAMILIES[name])] or fitting
        if named and fitting == named:
            self.notes.append(f"its family is {' or '.join(named)}, as names of its tensors tell")
        return fitting

    def speaks_of(self, family: SsdFamily) -> bool:
        """Tell whether a name in the network is one of a family's, or all inputs and outputs are called as its."""
        model = self.found.graph.model.graph
        shown = {tensor.name for tensor in (*self.found.graph.inputs, *model.output)}
        tensors = " ".join(name for node in self.found.graph.nodes for name in (*node.output, node.name)).lower()
        inputs = " ".join(tensor.name for tensor in self.found.graph.inputs).lower()
        return any(word in f"{tensors} {inputs}" for word in family.names) or shown == set(family.interface)

    @property
    def is_raw(self) -> bool:
        """Whether the boxes are still encoded."""
        return self.found.evidence is not None

    def size_text(self) -> str:
        """Return width x height, for people."""
        height, width = self.found.entry.size
        return f"{width}x{height}"

    # Sections of the card.

    def input(self, family: SsdFamily) -> InputDraft:
        """Return the section on the input."""
        return InputDraft(self.found.entry, family, self.stated, self.ask, self.notes)

    def outputs(self, family: SsdFamily, background: str) -> Document:
        """Return the section on the outputs."""
        network = self.found.network
        if not network.scores:
            corners = self.detections()[:, 2:]
            order = self.final_order(family)
            units = self.units(corners, order)
            return {
                "kind": "detections",
                "rows": network.boxes,
                "box_order": order,
                "background": background,
                **units,
            }
        document: Document = {"boxes": network.boxes, "scores": network.scores}
        if self.is_raw:
            order = self.stated.get("box_order") or family.box_order
            document = {"kind": "raw_heads", **document, "box_order": order, "box_scales": [10.0, 10.0, 5.0, 5.0]}
        elif self.found.heads.priors:
            document = {"kind": "decoded_boxes", **document, "box_order": "xyxy"}
        else:
            heads = self.found.heads
            corners = in_corners(as_rows(self.found.values[heads.boxes]), heads.form)
            order = self.stated.get("box_order") or self.order_of(corners)
            document = {"kind": "decoded_boxes", **document, "box_order": order, **self.units(corners, order)}
        document |= {"score_conversion": self.conversion(family), "background": background}
        return document | ({"clip_before_nms": True} if self.clips(family) else {})

    def clips(self, family: SsdFamily) -> bool:
        """Return whether corners are moved onto the border before NMS: as the graph does, else the family."""
        evidence = self.found.evidence
        return family.clip_before_nms if evidence is None or evidence.clips is None else evidence.clips

    def detections(self) -> NDArray[Any]:
        """Return label, score and corners (D, 6) of the final detections in the photo."""
        heads, values = self.found.heads, self.found.values
        if heads.final:
            return heads.final.rows(values)
        rows = values[heads.boxes].reshape(-1, 7)
        return rows[rows[:, 0] >= 0, 1:]

    def final_order(self, family: SsdFamily) -> str:
        """Return which number of a corner of final detections comes first; nothing in the graph tells."""
        if self.stated.get("box_order") or self.found.heads.final is None:
            return str(self.stated.get("box_order") or "xyxy")
        if family.final_order is None:
            question = "the network ends in corners; which number comes first"
            return self.ask("box_order", question, ("xyxy", "yxyx"))
        self.notes.append(f"final boxes are {family.final_order}, as in its family")
        return family.final_order

    def order_of(self, corners: NDArray[Any]) -> str:
        """Return which number of a corner comes first, and note it."""
        cells = self.found.cells
        order = along_cells(corners, cells.centres()) if cells else None
        why = "as the cells tell from which scores come" if order else "as neighbouring boxes tell"
        order = order or corner_order(corners)
        self.notes.append(f"boxes are {order}: {order[0]} comes first, {why}")
        return order

    def units(self, corners: NDArray[Any], order: str) -> Document:
        """Return what normalises corners, if anything does."""
        if not len(corners):
            raise ValueError(
                "the network finds nothing in the photo, so that its boxes cannot be looked at: give --image of a "
                "photo in which it finds something"
            )
        if not are_pixels(corners):
            return {}
        self.notes.append("boxes are in pixels of the input")
        height, width = self.found.entry.size
        sides = [width, height] if order == "xyxy" else [height, width]
        return {"box_scales": [float(side) for side in sides * 2]}

    def conversion(self, family: SsdFamily) -> str:
        """Return what turns the scores into those of 0 to 1."""
        heads, graph = self.found.heads, self.found.graph
        if self.stated.get("score_conversion"):
            return str(self.stated["score_conversion"])
        if "score_conversion" in heads.facts:
            return str(heads.facts["score_conversion"])
        if roots(graph, heads.scores) & {"Sigmoid", "Softmax"}:
            return "none"
        after = conversion_after(graph, heads.scores)
        if after:
            return after
        scores = self.found.values[heads.scores]
        if scores.min() >= 0 and scores.max() <= 1:
            self.notes.append("scores are taken as they are: all are between 0 and 1")
            return "none"
        self.notes.append(f"scores go through a {family.score_conversion}, as in its family")
        return family.score_conversion

    def priors(self, name: str, family: SsdFamily) -> Document:
        """Return the section on the prior boxes."""
        evidence = self.found.evidence
        count = self.found.network.count
        generator = family.generator(*self.found.entry.size, count)
        assert evidence is not None
        if generator is None or name not in evidence.families:
            what = f"{count} boxes for an input of {self.size_text()}"
            fitting = f"; those of {' and '.join(evidence.families)} fit" if evidence.families else ""
            raise ValueError(f"{self.no_family(what)}\nfamily {name} has other prior boxes{fitting}")
        if evidence.corners:
            self.notes.append(f"the prior boxes are {name}'s: they decode to the corners that the network makes")
        else:
            self.notes.append(f"the prior boxes are those published for {name}, their variances .1 and .2")
        return generator_document(generator)

    def labels(self) -> tuple[list[str], str]:
        """Return the class names, and which column is no class."""
        columns, facts = self.found.network.columns or self.found.heads.columns, self.found.heads.facts
        background = str(self.stated.get("background") or facts.get("background") or "first")
        source = self.stated.get("labels")
        if source is None and columns in KNOWN_BY_COLUMNS and background != "none":
            source = KNOWN_BY_COLUMNS[columns]
            self.notes.append(f"labels are {source}, as there are {columns} columns with the background")
        if source is None:
            source = self.ask(
                "labels", f"the names of the classes, a file with one a line, for {columns or 'all'} columns", ()
            )
        names = read_labels(str(source))
        nameless = len(names) == columns and names[0] == "unused 1"  # ??? in TFLite's label files
        if (names[0].lower() in BACKGROUND or nameless) and "background" not in self.stated:
            names, background = names[1:], "first"
        elif columns and len(names) == columns and "background" not in self.stated and "background" not in facts:
            if self.is_softmaxed:
                raise ValueError(
                    f"labels: found {len(names)} in {source}, as many as columns of scores; a softmax needs one "
                    "for the background: take its name off, or give --background none"
                )
            background = "none"
            self.notes.append(f"no column is background: there are as many labels as columns, {columns}")
        expected = columns - (background != "none")
        if columns and len(names) != expected:
            raise ValueError(
                f"labels: found {len(names)} in {source}, "
                f"expected {expected} for {columns} columns of scores with background {background}"
            )
        return names, background

    @property
    def is_softmaxed(self) -> bool:
        """Whether the graph makes the scores with a softmax."""
        heads, graph = self.found.heads, self.found.graph
        return bool(heads.scores) and (
            "Softmax" in roots(graph, heads.scores) or conversion_after(graph, heads.scores) == "softmax"
        )

    def defaults(self, family: SsdFamily) -> Document:
        """Return the thresholds."""
        iou = self.found.heads.facts.get("iou_threshold") or family.iou_threshold
        score = self.stated.get("score_threshold")
        return {
            "score_threshold": 0.3 if score is None else score,
            "iou_threshold": round(float(iou), 4),
            "candidates": 400,
            "max_detections": 100,
        }

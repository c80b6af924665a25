"""Choose the family of a network: by its prior boxes, by names in it, and by how it normalises its input."""

from __future__ import annotations

from trt_ssd_ros.tools.import_model.families import FAMILIES, SsdFamily
from trt_ssd_ros.tools.import_model.input_draft import normalises_as
from trt_ssd_ros.tools.import_model.understanding import Understood
from trt_ssd_ros.tools.model_import.interview import Interview


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
    """Return what there is to say of raw heads with prior boxes that nobody knows."""
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

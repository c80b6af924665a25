"""What the model card of a network must say: from the graph, from its family, and from whoever imports it."""

from __future__ import annotations

from trt_ssd_ros.models.card_file import generator_document
from trt_ssd_ros.tools.import_model.families import FAMILIES, SsdFamily
from trt_ssd_ros.tools.import_model.input_draft import Document, InputDraft
from trt_ssd_ros.tools.import_model.understanding import Understood
from trt_ssd_ros.tools.model_import.family_choice import boxes_of, choose_family, of_no_family
from trt_ssd_ros.tools.model_import.interview import Interview
from trt_ssd_ros.tools.model_import.label_draft import class_labels
from trt_ssd_ros.tools.model_import.output_draft import OutputDraft


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

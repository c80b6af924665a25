"""Import of an ONNX file: read and analyse it, write a card, test the card on a photo, and only then keep it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.errors import counted
from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.card_file import card_text
from trt_ssd_ros.models.network import opset
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.models.shipped import sample_photos
from trt_ssd_ros.tools.command_line import expect_free
from trt_ssd_ros.tools.import_model.analysis import NetworkAnalysis, analyse
from trt_ssd_ros.tools.import_model.card_draft import draft_card
from trt_ssd_ros.tools.import_model.heads import NOT_FOR_TENSORRT
from trt_ssd_ros.tools.import_model.input_draft import Document, Prompt, UserOptions
from trt_ssd_ros.tools.import_model.licence import stated_licence
from trt_ssd_ros.tools.import_model.network_file import has_external_data, read_network
from trt_ssd_ros.tools.import_model.nms import nodes_of
from trt_ssd_ros.tools.import_model.other_networks import expect_ssd


@dataclass(frozen=True)
class ImportRequest:
    """Request to import an ONNX file.

    Attributes:
        model: Path of the ONNX file.
        output: Folder of the written files; None for the folder of the ONNX file.
        name: Card name; None for the name of the ONNX file without its suffix.
        image: Path of the photo to test the card on; None for a photo of the package.
        copy: Whether an ONNX file in another folder is copied beside the card.
        force: Whether existing files are overwritten.
        options: The user's values of card fields, by command-line option.
    """

    model: Path
    output: Path | None = None
    name: str | None = None
    image: Path | None = None
    copy: bool = False
    force: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of the files that the import writes."""
        return (self.output or self.model.parent).expanduser().resolve()

    @property
    def card_name(self) -> str:
        """Name of the card and of its files."""
        return self.name or self.model.stem


def import_model(request: ImportRequest, prompt: Prompt) -> Iterator[str]:
    """Import a model, yielding the lines of the report.

    Raises:
        ValueError: The file is no ONNX or no supported SSD, or an option is wrong.
        RuntimeError: ONNX Runtime is not installed, or cannot run the network.
        OSError: A file cannot be read or written.
    """
    if not request.card_name or Path(request.card_name).name != request.card_name:
        raise ValueError(
            f"--name: found {request.card_name!r}, expected a file name without a folder; give the folder with "
            "--output"
        )
    network_file = read_network(request.model)
    photo = read_image_file(request.image) if request.image else sample_photos()[0]
    expect_free([request.folder / f"{request.card_name}.{kind}" for kind in ("yaml", "jpg")], request.force)
    if not request.options.get("boxes"):
        expect_ssd(network_file)
    found = analyse(OnnxGraph(network_file), photo, request.options)
    user = UserOptions(request.options, prompt)
    document = draft_card(found, user)
    yield from report(request, found, document, user.assumptions)
    network = card_network(request, found)
    nearest = next(folder for folder in (request.folder, *request.folder.parents) if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=".import_model-", dir=nearest) as scratch:
        yield write_and_test(request, network, document, Path(scratch), photo)
        card_last = sorted(Path(scratch).iterdir(), key=lambda path: path.suffix == ".yaml")
        request.folder.mkdir(parents=True, exist_ok=True)
        for path in card_last:
            path.replace(request.folder / path.name)
            yield f"  wrote     {request.folder / path.name}"
    if network.from_folder(request.folder).startswith(os.pardir):
        yield f"  outside   the card refers to {network.from_folder(request.folder)}, outside its folder:"
        yield "            move card and ONNX file together, or import with --copy"


def report(
    request: ImportRequest, found: NetworkAnalysis, document: Document, assumptions: list[str]
) -> Iterator[str]:
    """Yield the report on the network, its changes and the assumptions."""
    height, width = found.entry.size
    network, graph = found.network, found.graph
    yield f"{request.card_name}: {document['family']}, {document['outputs']['kind']}"
    yield f"  network   {request.model}, opset {opset(graph.model)}, {counted(len(graph.nodes), 'node')}"
    layout, order = document["input"]["layout"], document["input"]["channel_order"]
    yield f"  input     {found.entry.tensor}, {width}x{height}, {layout}, {order}"
    yield f"  results   {found.heads.boxes}, {found.heads.scores or 'rows'}: {found.heads.why}"
    yield f"  boxes     {network.count}, {counted(sum(map(bool, document['labels'])), 'class', 'classes')}"
    if network.batch == 1:
        yield "  batch     1, as two images at once do not give what each gives alone"
    if stated_licence(graph.model):
        yield f"  licence   {stated_licence(graph.model)}, stated in the ONNX file"
    for change in network.changes:
        yield f"  changed   {change}"
    for assumption in assumptions:
        yield f"  assumed   {assumption}"
    hard = sorted({node.op_type for node in nodes_of(network.model.graph)} & NOT_FOR_TENSORRT)
    if hard:
        yield f"  runs on   ONNX Runtime (backend:=onnxruntime); not all TensorRT versions run {', '.join(hard)}:"
        yield "            export the model without its NMS, or name the NMS inputs with --boxes and --scores"


@dataclass(frozen=True)
class CardNetwork:
    """ONNX file of a card.

    Attributes:
        path: Final path of the file.
        content: Content of the file.
        is_new: Whether the import writes the file.
        licence: Licence that the imported file states; "" if none.
    """

    path: Path
    content: bytes
    is_new: bool
    licence: str

    def from_folder(self, folder: Path) -> str:
        """Return the path of the file relative to the card's folder."""
        return os.path.relpath(self.path, folder)


def card_network(request: ImportRequest, found: NetworkAnalysis) -> CardNetwork:
    """Return the ONNX file of the card: the imported one, or one to write if the network changed or is copied.

    Raises:
        ValueError: The file to write exists already.
    """
    original, licence = request.model.resolve(), stated_licence(found.graph.model)
    is_converted = bool(found.network.changes) or has_external_data(original)
    if not is_converted and not (request.copy and original.parent != request.folder):
        return CardNetwork(original, original.read_bytes(), is_new=False, licence=licence)
    path = request.folder / f"{request.card_name}.onnx"
    if path == original:
        path = request.folder / f"{request.card_name}.ssd.onnx"
    if path.exists() and not request.force:
        raise ValueError(f"{path} already exists: give --force, --name or --output")
    content = found.network.model.SerializeToString() if is_converted else original.read_bytes()
    return CardNetwork(path, content, is_new=True, licence=licence)


def write_and_test(
    request: ImportRequest, network: CardNetwork, document: Document, scratch: Path, photo: NDArray[np.uint8]
) -> str:
    """Write the files into a scratch folder, run the card on a photo, and return the line on its detections."""
    name, options = request.card_name, request.options
    if network.is_new:
        (scratch / network.path.name).write_bytes(network.content)
    card_path = scratch / f"{name}.yaml"
    onnx = {
        "path": network.from_folder(request.folder),
        "sha256": hashlib.sha256(network.content).hexdigest(),
    }
    heading = {
        "name": name,
        "family": document["family"],
        "licence": options.get("licence") or network.licence or "unknown",
        "source": options.get("source", f"imported from {request.model.name}"),
        "onnx": onnx,
    }
    card_path.write_text(card_text({**heading, **document}), encoding="utf-8")
    card = ModelCard.load(card_path)
    if not network.is_new:  # the card's path is relative to its final folder, not to the scratch folder
        card = replace(card, onnx=replace(card.onnx, path=network.path))
    detections = open_onnxruntime(card).detect(photo)
    picture = draw_detections(photo, detections, card.labels)
    cv2.imwrite(str(scratch / f"{name}.jpg"), picture)
    found_best = zip(detections.class_ids, detections.scores, strict=True)
    best = ", ".join([f"{card.labels[class_id]} {score:.2f}" for class_id, score in found_best][:5])
    threshold = card.defaults.score_threshold
    return f"  detected  {len(detections)} in the photo: {best or 'nothing'} (score threshold {threshold})"

"""The command line of evaluate: figures that were computed by hand, and the real network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest
from annotated_images import (
    AT_BOTH,
    CAT,
    FOUND,
    MAP,
    MAP50,
    MAP75,
    TRUTH,
    write_coco,
    write_images,
    write_kitti,
    write_results,
    write_voc,
    write_yolo,
)
from terminal import Terminal

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tools.detect.__main__ import main as detect
from trt_ssd_ros.tools.evaluate import page as evaluation_page
from trt_ssd_ros.tools.evaluate.__main__ import main
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage, AnnotatedSet, TrueBox
from trt_ssd_ros.tools.evaluate.evaluation import Evaluation


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    write_results(tmp_path / "results.jsonl")
    return tmp_path


def evaluate(place: Path, annotations: Path, *more: str, runs: Sequence[str] = ("results.jsonl",)) -> int:
    arguments = ["--images", place / "images", "--annotations", annotations, "--output", place / "out", *more]
    return main([*map(str, arguments), *(str(place / run) if "=" not in run else run for run in runs)])


def report(place: Path) -> dict:
    return json.loads((place / "out" / "report.json").read_text())


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo, write_kitti])
def test_figures_are_those_computed_by_hand(place, write, capsys):
    assert evaluate(place, write(place / "truth")) == 0
    (run,) = report(place)["runs"]
    assert (run["map"], run["map50"], run["map75"]) == pytest.approx((MAP, MAP50, MAP75), abs=1e-9)
    assert run["classes"]["Cat"]["ap"] == pytest.approx(CAT, abs=1e-9)
    assert run["classes"]["Cat"]["ap50"] == pytest.approx(AT_BOTH, abs=1e-9)
    assert run["classes"]["Dog"]["ap"] == pytest.approx(1)
    assert run["classes"]["Cat"]["objects"] == 2
    assert run["classes"]["Cat"]["recall50"] == 1
    assert "Bear" not in run["classes"]
    said = capsys.readouterr().out
    assert f"{MAP:.4f}" in said
    assert "difference" not in said + (place / "out" / "report.html").read_text(), "one run has no baseline"
    counts = {(c["true"], c["found"]): c["count"] for c in run["confusion"]}
    assert counts == {("Cat", "Cat"): 2, ("Dog", "Dog"): 1, ("", "Cat"): 1}


def test_a_report_is_replaced_only_if_told_to_and_inputs_are_looked_at_first(place, monkeypatch, capsys):
    truth = write_coco(place / "truth")
    assert evaluate(place, truth) == 0
    assert evaluate(place, truth) == 1
    advice = "report.html exists: give --overwrite to replace it, or another --output"
    assert f"{place / 'out'}/{advice}" in capsys.readouterr().err
    assert evaluate(place, truth, "--overwrite") == 0
    for given, runs, missing in (
        (place / "no.json", ("results.jsonl",), "no.json"),
        (truth, ("results.jsonl", "old.jsonl"), "old.jsonl"),
    ):
        assert evaluate(place, given, runs=runs) == 1
        assert f"{missing} does not exist" in capsys.readouterr().err
    monkeypatch.chdir(place)
    for folder in ("evaluate_output", "evaluate_output_2"):
        assert main(["--images", "images", "--annotations", str(truth), "results.jsonl"]) == 0
        assert f"written: {folder}/report.html" in capsys.readouterr().out


@pytest.mark.parametrize("write", [write_coco, write_voc])
def test_an_ignored_object_counts_neither_way(place, write):
    """Without the second cat, recall is 1 after the first detection, and what finds it is no mistake."""
    assert evaluate(place, write(place / "truth", TRUTH, [2])) == 0
    assert report(place)["runs"][0]["classes"]["Cat"]["ap"] == pytest.approx(1)


def test_results_as_coco_json_score_the_same(place):
    from trt_ssd_ros.tools.detect.formats import write_coco as convert

    convert(place / "results.jsonl", place)
    assert evaluate(place, write_coco(place / "x"), runs=("results.jsonl", "coco.json")) == 0
    first, second = report(place)["runs"]
    assert first["map"] == second["map"]
    assert first["confusion"] == second["confusion"]


def test_several_runs_and_their_difference(place, capsys):
    bear = {"a.png": [*FOUND["a.png"][:2], ("Bear", 0.64, (61, 60, 91, 90))], "b.png": FOUND["b.png"]}
    write_results(place / "bear.jsonl", bear, threshold=0.3)
    assert evaluate(place, write_coco(place / "x"), runs=("results.jsonl", f"<new>={place / 'bear.jsonl'}")) == 0
    found = report(place)
    (comparison,) = found["comparisons"]
    assert comparison["map"] == pytest.approx(-0.5)
    assert comparison["classes"] == pytest.approx({"Cat": 0, "Dog": -1})
    assert comparison["changes"] == [{"image": "a.png", "size": 1, "changes": ["Dog 70% became Bear 64%"]}]
    (warning,) = found["warnings"]
    assert warning.startswith(
        "<new>: detections below a score of 0.30 are missing: the precision-recall curve is truncated"
    )
    page = (place / "out" / "report.html").read_text()
    assert "mAP difference to the baseline" in page
    assert "difference to the baseline" in capsys.readouterr().out
    assert "Dog 70% became Bear 64%" in page
    assert (Path(evaluation_page.__file__).parents[2] / "common.css").read_text().strip() in page
    assert "&lt;new&gt;" in page
    assert "<new>" not in page
    assert all(source.startswith("data:image/") for source in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert page.count("data:image/png") == 3, "one plot of the curves, a confusion for each run"
    assert page.count("data:image/jpeg") == 3 + 2, (
        "truth and both runs of what changed; truth and first where it errs"
    )


def test_labels_are_mapped_or_left_out(place, capsys):
    truth = {
        "a.png": [("cow", TRUTH["a.png"][0][1]), ("DOG", TRUTH["a.png"][1][1])],
        "b.png": [("ufo", (1, 1, 9, 9))],
    }
    annotations = write_coco(place / "x", truth)
    assert evaluate(place, annotations) == 1
    assert (
        "does not know 'cow', 'ufo': rename a label with --map cow=LABEL, or exclude all with --known-only"
        in capsys.readouterr().err
    )
    assert not (place / "out").exists()
    assert evaluate(place, annotations, "--map", "cow=Cat", "--known-only") == 0
    assert {label: item["ap"] for label, item in report(place)["runs"][0]["classes"].items()} == pytest.approx(
        {"DOG": 1, "Cat": 1}
    )
    assert "excluded labels, which not every run knows: ufo" in capsys.readouterr().err
    assert evaluate(place, annotations, "--map", "cat=Cat") == 1
    assert "--map: found 'cat', expected a label" in capsys.readouterr().err


def test_labels_that_differ_in_case_are_one(place):
    truth = {"a.png": TRUTH["a.png"], "b.png": [("CAT", TRUTH["b.png"][0][1])]}
    assert evaluate(place, write_coco(place / "x", truth)) == 0
    (run,) = report(place)["runs"]
    assert {label: item["objects"] for label, item in run["classes"].items()} == {"CAT": 2, "Dog": 1}
    assert run["map"] == pytest.approx(MAP, abs=1e-9)


def test_images_of_another_size_than_annotated_are_told(place, capsys):
    annotations = write_coco(place / "x")
    content = json.loads(annotations.read_text())
    content["images"][0] |= {"width": 100, "height": 100}
    content["images"][1] |= {"width": 200, "height": 100}
    annotations.write_text(json.dumps(content))
    assert evaluate(place, annotations) == 0
    assert (
        "the annotations of 1 image state another size, so that boxes are misplaced, e.g. b.png"
        in capsys.readouterr().err
    )


def test_names_that_are_no_utf_8(place):
    odd = os.fsdecode(b"odd\xff.png")
    (place / "images" / "a.png").rename(place / "images" / odd)
    found, truth = ({odd: items["a.png"], "b.png": items["b.png"]} for items in (FOUND, TRUTH))
    write_results(place / "results.jsonl", found)
    assert evaluate(place, write_coco(place / "x", truth)) == 0
    assert "odd?.png" in (place / "out" / "report.html").read_text()


def test_no_label_in_common_is_refused_even_so(place, capsys):
    annotations = write_coco(place / "x", {"a.png": [("ufo", (1, 1, 9, 9))]})
    assert evaluate(place, annotations, "--known-only") == 1
    assert "does not know 'ufo'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "runs", "said"),
    [
        ([], ("nothing.jsonl",), "nothing.jsonl"),
        (["--output", "{place}/results.jsonl/out"], ("results.jsonl",), "is no writable folder"),
        (
            [],
            ("truth",),
            "found '{place}/truth', expected auto|tensorrt|onnxruntime|remote[:auto|fp32|fp16], or results.jsonl",
        ),
        ([], ("x=onnxruntime:fp16",), "ONNX Runtime runs the network as it is: give no precision"),
        ([], ("x=tensorrt",), "TensorRT cannot be imported"),
        (["--gpu", "1"], ("results.jsonl", "x=remote"), "--gpu: found 1 beside the backend remote, expected none"),
        (
            ["--remote-url", "http://gpu"],
            ("results.jsonl", "x=onnxruntime@card.yaml"),
            "--remote-url: found it beside the backend onnxruntime, expected the backend remote",
        ),
        ([], ("results.jsonl", "results.jsonl"), "twice, expected different names"),
        (
            [],
            ("part.jsonl",),
            "part.jsonl has no result for 1 of 2 images, e.g. b.png: run detect on the whole folder",
        ),
        (
            [],
            ("damaged.json",),
            "damaged.json holds no results: expected a results.jsonl or coco.json that detect wrote",
        ),
        (["--format", "voc"], ("results.jsonl",), "is a file, expected a folder for --format voc"),
    ],
)
def test_mistakes_are_told_on_one_line_and_nothing_is_written(place, capsys, arguments, runs, said):
    write_results(place / "part.jsonl", {"a.png": FOUND["a.png"]})
    (place / "damaged.json").write_text('{"categories": [{}]}')
    assert (
        evaluate(place, write_coco(place / "truth"), *(text.format(place=place) for text in arguments), runs=runs)
        == 1
    )
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ")
    assert said.format(place=place) in error
    assert error.count("\n") == 1
    assert not (place / "out").exists()


@pytest.mark.parametrize("module", ["pycocotools.coco", "matplotlib", "jinja2", "defusedxml.ElementTree"])
def test_a_missing_library_is_named(place, capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert evaluate(place, write_voc(place / "truth")) == 1
    assert capsys.readouterr().err.endswith(f": pip install {module.split('.')[0]}\n")


def test_unreadable_images_are_left_out_and_told(place, capsys):
    (place / "images" / "b.png").write_bytes(b"no image")
    assert evaluate(place, write_coco(place / "x")) == 0
    assert report(place)["images"] == 1
    assert "1 image could not be read, e.g. cannot read" in capsys.readouterr().err
    (place / "images" / "a.png").write_bytes(b"no image")
    assert evaluate(place, place / "x", "--overwrite") == 1
    assert "no image was evaluated: 2 could not be read, e.g. cannot read" in capsys.readouterr().err


@pytest.mark.usefixtures("opencv_threads")
def test_the_network_itself_against_its_own_results(tmp_path, repository, detector):
    """What detect wrote scores as what runs now does, and against its own best boxes as truth almost perfectly."""
    photos, results = repository / "photos", tmp_path / "detected"
    options = ["--backend", "onnxruntime", "--no-draw", "--threshold", "0.01", "--output", str(results)]
    assert detect([str(photos), *options]) == 0
    truth = {}
    for path in sorted(photos.glob("*.jpg")):
        found = detector.detect(cv2.imread(str(path)))
        boxes = zip(found.boxes.tolist(), found.class_ids, strict=True)
        truth[path.name] = [(detector.card.labels[class_id], box) for box, class_id in boxes]
    annotations = write_coco(tmp_path / "x", truth)
    runs = ["onnxruntime", f"before={results / 'results.jsonl'}"]
    arguments = ["--images", photos, "--annotations", annotations, "--output", tmp_path / "out"]
    assert main([*map(str, arguments), *runs, "--cpu-threads", "2"]) == 0
    assert cv2.getNumThreads() == 2
    now, before = report(tmp_path)["runs"]
    assert now["map"] == pytest.approx(before["map"])
    assert now["map"] == pytest.approx(1)
    assert report(tmp_path)["comparisons"][0]["changed_images"] == 0


@pytest.mark.parametrize(("stated", "said"), [(10, ["at most 10 detections per image were stored"]), (None, [])])
def test_results_that_are_cut_off_are_told(place, stated, said):
    path = place / "results.jsonl"
    header, *rest = path.read_text().splitlines()
    header = json.dumps({**json.loads(header), "detector": {"max_detections": stated, "score_threshold": None}})
    path.write_text("\n".join([header, *rest]))
    assert evaluate(place, write_coco(place / "x")) == 0
    warnings = report(place)["warnings"]
    assert [text.partition(": ")[2].partition(",")[0] for text in warnings] == said


class Blind:
    """A run that finds nothing."""

    name, labels = "blind", ("Cat",)

    def check(self, images):
        pass

    def detect(self, *_):
        return Detections.empty()


def test_ctrl_c_leaves_what_was_seen(tmp_path):
    write_images(tmp_path / "images", {"a.png": []})
    box = TrueBox("Cat", (0, 0, 9, 9))
    images = [AnnotatedImage(str(n), tmp_path / "images" / "a.png", (box,)) for n in range(1000)]
    stop, evaluation = threading.Event(), Evaluation(AnnotatedSet("", tuple(images), ("Cat",)), [Blind()])

    def on_image():
        if len(evaluation.images) == 3:
            stop.set()

    evaluation.run(stop, on_image)
    assert len(evaluation.images) == len(evaluation.truths) == len(evaluation.found[0]) == 3
    assert evaluation.precision(0).classes["Cat"].objects == 3


def test_ctrl_c_of_the_real_thing(tmp_path):
    truth = {f"{number:04d}.png": [("Cat", (0, 0, 9, 9))] for number in range(600)}
    write_images(tmp_path / "images", truth)
    annotations = write_coco(tmp_path / "x", truth)
    arguments = ["--images", tmp_path / "images", "--annotations", annotations, "--output", tmp_path / "out"]
    command = [sys.executable, "-m", "trt_ssd_ros.tools.evaluate", *map(str, arguments), "onnxruntime"]
    terminal = Terminal()
    process = subprocess.Popen(command, stderr=terminal.theirs, stdout=subprocess.DEVNULL)
    terminal.wait_for("<0")  # the time that is left is known after the first image
    process.send_signal(signal.SIGINT)
    said = terminal.rest()
    assert process.wait(60) == 130, said
    assert "interrupted: only" in said
    assert "scoring onnxruntime: 100%" in said
    found = report(tmp_path)
    assert found["interrupted"]
    assert 1 <= found["images"] < 600
    assert (tmp_path / "out" / "report.html").is_file()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert "evaluate --images val2017 --annotations instances_val2017.json" in said
    with pytest.raises(SystemExit, match="2"):
        main(["--images", "x"])
    with pytest.raises(SystemExit, match="2"):
        main(["--images", "x", "--annotations", "y", "--map", "cow"])
    assert capsys.readouterr().err.endswith("argument --map: found 'cow', expected OLD=NEW\n")

"""Runs of detect that follow upon others: that go on, begin anew, or are refused."""

from __future__ import annotations

import json
import signal
import socket

import av
import pytest
from detect_command import files, run, start

from trt_ssd_ros.tools.detect.folder import locked
from trt_ssd_ros.tools.results import read_results


def test_a_killed_run_goes_on_to_the_same_results(tmp_path, video):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    formats = ("--format", "coco", "csv", "--batch", 2)
    assert run(video, "--output", whole, *formats) == 0
    process = start(video, "--output", killed, *formats, "--json")
    for _ in range(9):
        assert process.stdout.readline()
    process.kill()
    process.communicate()
    done = len((killed / "results.jsonl").read_text().splitlines()) - 1
    assert 9 <= done < 60
    (killed / "results.jsonl").open("a").write('{"index": 99, "ima')
    assert run(video, "--output", killed, *formats, "--resume") == 0
    assert files(whole) == files(killed) == ["annotated.mp4", "coco.json", "detections.csv", "results.jsonl"]
    for name in files(whole):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    with av.open(str(whole / "annotated.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 60


def test_resuming_does_not_detect_again(tmp_path, video, capsys):
    out = tmp_path / "out"
    assert run(video, "--output", out, "--no-draw", "--max-images", 5) == 0
    log = out / "results.jsonl"
    log.write_text(log.read_text().replace('"label": "cat"', '"label": "Lion"'))
    capsys.readouterr()
    assert run(video, "--output", out, "--resume", "--no-draw", "--max-images", 8) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    assert [line["index"] for line in lines] == list(range(8))
    assert [line["detections"][0]["label"] for line in lines] == ["Lion"] * 5 + ["cat"] * 3


def test_what_was_not_drawn_is_drawn_by_a_run_that_goes_on(tmp_path, video):
    out = tmp_path / "out"
    assert run(video, "--output", out, "--draw", "none", "--max-images", 3) == 0
    assert run(video, "--output", out, "--draw", "jpg", "--max-images", 5, "--resume") == 0
    assert files(out / "annotated") == [f"{number:06d}.jpg" for number in range(5)]
    assert len((out / "results.jsonl").read_text().splitlines()) == 6


def test_a_run_does_not_mix_images_that_are_decoded_whole_and_reduced(tmp_path, repository, capsys):
    arguments = repository / "photos", "--output", tmp_path / "out", "--max-images"
    assert run(*arguments, 1, "--draw", "none") == 0
    assert run(*arguments, 2, "--draw", "jpg", "--resume") == 1
    assert "jpeg whole instead of reduced (--draw none): give the earlier settings" in capsys.readouterr().err
    assert run(*arguments, 2, "--draw", "none", "--resume") == 0


def test_what_is_refused_is_left_as_it_was(tmp_path, repository, capsys):
    """Also the line that a killed run has not finished, before which the other images would be detected."""
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    arguments = tmp_path / "in", "--output", tmp_path / "out", "--no-draw"
    assert run(*arguments) == 0
    log = tmp_path / "out" / "results.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    before = log.read_bytes()
    (tmp_path / "in" / "a.jpg").unlink()
    assert run(*arguments, "--resume") == 1
    assert (
        "results.jsonl has a.jpg, expected b.jpg: if images changed, give --overwrite" in capsys.readouterr().err
    )
    assert log.read_bytes() == before


def test_a_new_run_gets_a_new_folder_and_a_continued_one_the_newest(tmp_path, video, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = video, "--no-draw", "--max-images"
    for frames, folder in ((2, "detect_output"), (3, "detect_output_2")):
        assert run(*few, frames) == 0
        assert f"written: {folder}/results.jsonl" in capsys.readouterr().out
    assert run(*few, 4, "--resume") == 0
    assert [
        len((tmp_path / name / "results.jsonl").read_text().splitlines()) - 1
        for name in ("detect_output", "detect_output_2")
    ] == [2, 4]
    assert run(*few, 1, "--overwrite") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detect_output", "detect_output_2"]
    assert len((tmp_path / "detect_output_2" / "results.jsonl").read_text().splitlines()) == 2


def test_annotated_images_of_earlier_runs_are_no_input(tmp_path, repository, monkeypatch, capsys):
    (tmp_path / "cat.jpg").write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert run(".") == 0
        assert "1 image, " in capsys.readouterr().out
    assert files(tmp_path / "detect_output_3" / "annotated") == ["cat.jpg"]


def test_a_missing_input_is_reported_before_existing_results(tmp_path, video, capsys):
    assert run(video, "--output", tmp_path, "--no-draw", "--max-images", 1) == 0
    assert run("nothing.mp4", "--output", tmp_path) == 1
    assert "nothing.mp4 does not exist" in capsys.readouterr().err


def test_resuming_in_another_way_is_refused(tmp_path, video, capsys):
    out = tmp_path / "out"
    assert run(video, "--output", out, "--no-draw", "--max-images", 2) == 0
    before = (out / "results.jsonl").read_bytes()
    assert run(video, "--output", out, "--no-draw") == 1
    error = capsys.readouterr().err
    assert (
        f"{out}/results.jsonl exists: give --resume to continue this run, or --overwrite to start again" in error
    )
    assert run(video, "--output", out, "--no-draw", "--resume", "--threshold", 0.5, "--batch", 2) == 1
    assert capsys.readouterr().err == (
        f"detect: --resume: this run differs from {out}/results.jsonl: batch 2 instead of 1; "
        "score threshold 0.5 instead of 0.3: give the earlier settings, or --overwrite\n"
    )
    other = [line.replace('"cat"', '"lion"', 1) for line in before.decode().splitlines(keepends=True)]
    (out / "results.jsonl").write_text("".join(other))
    assert run(video, "--output", out, "--no-draw", "--resume") == 1
    assert "results.jsonl: label 16 cat instead of lion: give the earlier" in capsys.readouterr().err
    (out / "results.jsonl").write_bytes(before)
    assert (out / "results.jsonl").read_bytes() == before
    assert run(video, "--output", out, "--no-draw", "--overwrite", "--max-images", 1) == 0
    assert len((out / "results.jsonl").read_text().splitlines()) == 2


def test_beginning_anew_leaves_nothing_of_the_earlier_run_and_all_else(tmp_path, repository):
    out, photos = tmp_path / "out", sorted((repository / "photos").glob("*.jpg"))
    assert run(*photos, "--output", out, "--format", "csv", "kitti") == 0
    (out / "notes.txt").write_text("mine")
    assert run(photos[0], "--output", out, "--overwrite", "--format", "coco") == 0
    assert [path.name for path in sorted(out.rglob("*")) if path.is_file()] == [
        photos[0].name,
        "coco.json",
        "notes.txt",
        "results.jsonl",
    ]


def test_two_runs_in_one_folder_do_not_mix(tmp_path, video, capsys):
    out = tmp_path / "out"
    with locked(out):
        assert run(video, "--output", out) == 1
        assert list(out.iterdir()) == []
    assert f"another run is writing to {out}: wait for it or give another folder" in capsys.readouterr().err


def test_what_was_written_is_not_read(tmp_path, repository):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    for more in ((), ("--resume",)):
        assert run(folder, "--output", folder / "out", *more) == 0
    assert [result.name for result in read_results(folder / "out" / "results.jsonl")] == ["cat.jpg"]


def test_resuming_with_other_images_is_refused(tmp_path, repository, capsys):
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
        code = run(tmp_path / "in", "--output", tmp_path / "out", "--resume")
    assert code == 1
    assert (
        "results.jsonl has b.jpg, expected a.jpg: if images changed, give --overwrite" in capsys.readouterr().err
    )
    assert run(tmp_path / "in", "--output", tmp_path / "both") == 0
    (tmp_path / "in" / "b.jpg").unlink()
    assert run(tmp_path / "in", "--output", tmp_path / "both", "--resume") == 1
    assert (
        "results.jsonl has b.jpg, expected nothing: if images changed, give --overwrite" in capsys.readouterr().err
    )


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_whole_files_and_says_how_to_go_on(tmp_path, video, ending):
    process = start(video, "--output", tmp_path / "out", "--json")
    assert process.stdout.readline()
    process.send_signal(ending)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted; --resume continues the run" in error
    assert "Traceback" not in error
    assert files(tmp_path / "out") == ["annotated.mp4", "coco.json", "results.jsonl"]


def test_a_signal_while_a_stream_opens_is_an_interruption(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        process = start(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/clip", "--output", tmp_path / "out")
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        connection.close()
    assert (process.returncode, error) == (130, "detect: interrupted\n")
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_killed_before_its_first_line_is_begun_anew(tmp_path, repository):
    (tmp_path / "results.jsonl").touch()
    assert run(repository / "photos" / "coffee.jpg", "--output", tmp_path, "--resume", "--no-draw") == 0
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("again", [(), ("--overwrite",), ("--resume",)])
def test_a_folder_of_the_user_with_the_name_of_the_units_stays(tmp_path, repository, again):
    photo, mine = sorted((repository / "photos").glob("*.jpg"))[0], tmp_path / "units" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("metres")
    if again:
        assert run(photo, "--output", tmp_path, "--no-draw") == 0
    (mine.parent / "0-0-256.jsonl").write_text("of an earlier run on a cluster")
    assert run(photo, "--output", tmp_path, "--no-draw", *again) == 0
    assert list(mine.parent.iterdir()) == [mine]

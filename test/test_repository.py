"""CI, containers and hooks: the files are valid, and the paths that they name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = [
    path
    for folder in (".github", ".github/workflows", ".github/ISSUE_TEMPLATE", "docker", ".")
    for path in sorted((ROOT / folder).glob("*.y*ml"))
]
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / ".github" / "pull_request_template.md"]
TEXTS = [*FILES, *(ROOT / "docker").glob("Dockerfile*"), *GUIDES]
OWN_PATH = re.compile(r"(?<![\w./-])(?:scripts|docker|test|photos|\.ci)/[\w./-]+")


def steps(name: str) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_files_are_found():
    names = {path.name for path in FILES}
    assert names >= {"ci.yml", "ros.yml", "bug.yml", "feature.yml", "compose.yaml", ".pre-commit-config.yaml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_each_named_file_exists(path):
    text = path.read_text().replace("src/trt_ssd_ros/", "")
    missing = [name for name in OWN_PATH.findall(text) if not any(ROOT.glob(name.rstrip(".")))]
    assert missing == []


def test_ci_runs_options_that_scripts_test_has():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    usage = (ROOT / "scripts/test").read_text().partition("set -u")[0]
    [job] = workflow["jobs"].values()
    options = [shlex.split(row["arguments"]) for row in job["strategy"]["matrix"]["include"]]
    assert [] in options
    for option in filter(None, options):
        assert f"scripts/test {' '.join(option)}" in usage


def test_every_workflow_runs_the_tests():
    for name in ("ci.yml", "ros.yml"):
        assert any("scripts/test" in step.get("run", "") for step in steps(name))


def test_setup_states_the_oldest_versions_that_are_tested():
    floors = dict(re.findall(r'"([a-z-]+)>=([\d.]+)"', (ROOT / "setup.py").read_text()))
    oldest = (ROOT / "scripts/requirements/oldest.in").read_text()
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", oldest, re.MULTILINE))
    parts = {name: pinned[name].split(".")[: floor.count(".") + 1] for name, floor in floors.items()}
    assert floors == {name: ".".join(part) for name, part in parts.items()}
    assert floors.keys() == pinned.keys()


def test_the_hooks_are_local():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repository["repo"] for repository in hooks["repos"]} == {"local"}


def test_compose_builds_the_dockerfiles():
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    named = {ROOT / service["build"]["dockerfile"] for service in services.values()}
    assert named == set((ROOT / "docker").glob("Dockerfile*"))

"""Documents: their links inside the repository resolve, and their Python excerpts stand in the examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / folder / "README.md" for folder in ("engines", "photos")),
]
WITH_EXCERPTS = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("detections.md", "objects.md"))]
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_documents_are_found():
    assert {"README.md", "CONTRIBUTING.md", "node.md", "detections.md"} <= {path.name for path in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_inside_the_repository_resolves(document):
    broken = []
    for link in LINK.findall(CODE.sub("", document.read_text())):
        if "://" not in link:
            name, _, anchor = link.partition("#")
            target = (document.parent / name).resolve() if name else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", WITH_EXCERPTS, ids=lambda path: path.name)
def test_each_python_excerpt_stands_in_an_example(document):
    examples = "\n".join(flat(path.read_text()) for path in (ROOT / "examples").glob("*.py"))
    excerpts = [text for language, text in CODE.findall(document.read_text()) if language == "python"]
    assert len(excerpts) == 2
    for excerpt in excerpts:
        assert all(flat(part) in examples for part in excerpt.split("\n\n")), excerpt


def flat(code: str) -> str:
    """Return code without indentation and blank lines."""
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())

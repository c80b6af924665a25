"""Licence that an ONNX file states in its metadata or in its descriptions."""

from __future__ import annotations

import re

import onnx

MAX_LENGTH = 100
"""Most characters of a licence in a card."""
KEY = re.compile(r"(.*[._-])?(licen[cs]e|spdx)([._-]?(name|id|identifier|type))?", re.IGNORECASE)
"""Names of metadata entries that hold a licence."""
STATEMENT = re.compile(
    r"\blicen[cs]e([\s-]*identifier)?[\"']?\s*[:=]\s*[\"']?|\blicen[cs]ed\s+under\s+(the\s+)?", re.IGNORECASE
)
"""Text before a licence in a description."""
END = re.compile(r"[;\n\"}(]|\.(\s|$)")
"""End of a licence in a description."""
KNOWN = re.compile(
    r"\s*(Apache|MIT|BSD|[AL]?GPL|GNU|MPL|Mozilla|CC\d?[ -]|Creative Commons|ISC|Zlib|Unlicense|Public domain)\b",
    re.IGNORECASE,
)
"""Beginnings of licences' names."""
IDENTIFIER = re.compile(
    r"\b(Apache-2\.0|BSD-[234]-Clause|[AL]?GPL-[23]\.\d(-only|-or-later)?|MPL-2\.0|CC0-1\.0|CC-BY(-[A-Z]{2})*-\d\.\d)"
)
"""SPDX identifiers that mean nothing but a licence; MIT may be the university."""


def stated_licence(model: onnx.ModelProto) -> str:
    """Return the licence that a network states; "" if none."""
    entries = [item.value for item in model.metadata_props if KEY.fullmatch(item.key.strip())]
    texts = [model.doc_string, model.graph.doc_string, *(item.value for item in model.metadata_props)]
    found = [*entries, *map(_statement, texts), *map(_identifier, texts)]
    lines = (text.strip().partition("\n")[0].strip()[:MAX_LENGTH] for text in found)
    return next(filter(None, lines), "")


def _statement(text: str) -> str:
    """Return the first known licence behind words such as `License:`; "" if there is none."""
    texts = (END.split(text[match.end() :], maxsplit=1)[0] for match in STATEMENT.finditer(text))
    return next(filter(KNOWN.match, texts), "")


def _identifier(text: str) -> str:
    """Return the first SPDX identifier in a text; "" if there is none."""
    match = IDENTIFIER.search(text)
    return match[0] if match else ""

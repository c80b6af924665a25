"""PlanKey: everything that a plan is valid for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class PlanKey:
    """Everything that a plan is valid for; a plan for another key is built again.

    Attributes:
        model: The model card's name.
        graph: SHA-256 of the composed graph.
        flavour: `tensorrt` or `tensorrt_rtx`.
        version: TensorRT's full version.
        gpu: The GPU's product name.
        compute_capability: The GPU's, as "8.7".
        precision: `fp32` or `fp16`.
        options: What else it was built for: BuildOptions as a mapping.
    """

    model: str
    graph: str
    flavour: str
    version: str
    gpu: str
    compute_capability: str
    precision: str
    options: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """The name of the plan's files, without their endings."""
        digest = hashlib.sha256(json.dumps(self.as_json()).encode()).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9_.]', '_', self.model)[:64]}-{self.precision}-{digest[:16]}"

    def as_json(self) -> dict[str, Any]:
        """Return the key as a sidecar has it."""
        return dict(json.loads(json.dumps(asdict(self))))

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return what another key, as read from a sidecar, has otherwise."""
        mine = self.as_json()
        return [f"{name} was {other.get(name)}, is {mine[name]}" for name in mine if other.get(name) != mine[name]]

"""PlanCache: keeps plans in a folder, and PlanKey: everything that a plan is valid for.

A plan is a file NAME-PRECISION-DIGEST.plan. The sidecar of the same name (.json) holds its key and its SHA-256; a
plan is used only if both agree with the key asked for. The process that builds holds the lock of that name, so
that two processes build once. Files are written under another name first: a file that has its name is whole.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trt_ssd_ros.engines.build_progress import BuildCancelledError, BuildProgress
from trt_ssd_ros.files import try_lock, write_whole


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


LOGGER = logging.getLogger(__name__)
FORMAT = 1
LOCK_POLL_SECONDS = 0.1
OURS = re.compile(r".*-[0-9a-f]{16}\.(json|plan|kernels)([^/]*\.part)?")


class PlanMissingError(LookupError):
    """There is no plan for a key that could be used; says why."""


@dataclass(frozen=True)
class Plan:
    """A plan and what its sidecar says.

    Attributes:
        content: The serialised engine.
        notes: What was noted when it was built: seconds, bytes, time, layers.
    """

    content: bytes
    notes: Mapping[str, Any]


def cache_folder() -> Path:
    """Return where plans are kept: $TRT_SSD_ENGINE_DIR, else trt_ssd_ros in $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("TRT_SSD_ENGINE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "trt_ssd_ros"


class PlanCache:
    """A folder of plans.

    Args:
        folder: Made when the first plan is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: PlanKey, ending: str) -> Path:
        """Return the path of one of a plan's files."""
        return self.folder / f"{key.stem}{ending}"

    def obtain(self, key: PlanKey, build: Callable[[], bytes], progress: BuildProgress) -> Plan:
        """Return the kept plan, or build and keep it.

        Raises:
            BuildCancelledError: `progress` asked to stop.
            RuntimeError: As `build` raises it.
        """
        with suppress(PlanMissingError):
            return self.load(key)
        with self._lock(key, progress):
            try:
                return self.load(key)  # another process may have built it meanwhile
            except PlanMissingError as reason:
                LOGGER.info("building the %s plan of %s: %s", key.precision, key.model, reason)
            start = time.monotonic()
            content = build()
            seconds = round(time.monotonic() - start, 1)
            built_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
            plan = Plan(content, {"seconds": seconds, "built_at": built_at})
            self.keep(key, plan)
            return plan

    def load(self, key: PlanKey) -> Plan:
        """Return the plan that is kept for a key.

        Raises:
            PlanMissingError: There is none, or it is damaged, or it was built for something else.
        """
        sidecar = _read_sidecar(self.path(key, ".json"))
        if sidecar is None:
            raise PlanMissingError(self._why_none(key))
        differences = key.differences(sidecar["key"])
        if differences:
            raise PlanMissingError(f"the kept one is for something else ({'; '.join(differences)})")
        try:
            content = self.path(key, ".plan").read_bytes()
        except OSError as error:
            raise PlanMissingError(f"the kept one cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != sidecar.get("sha256"):
            raise PlanMissingError("the kept one is damaged (its SHA-256 is not the noted one)")
        return Plan(content, sidecar["notes"])

    def notes(self, key: PlanKey) -> Mapping[str, Any]:
        """Return what the sidecar for a key says; nothing, if there is none."""
        sidecar = _read_sidecar(self.path(key, ".json"))
        return sidecar["notes"] if sidecar and not key.differences(sidecar["key"]) else {}

    def discard(self, key: PlanKey) -> None:
        """Delete a plan, as far as that is possible."""
        for ending in (".json", ".plan", ".kernels"):
            with suppress(OSError):
                self.path(key, ending).unlink()

    def entries(self) -> list[tuple[Path, Mapping[str, Any] | None]]:
        """Return all plans, by name, each with its sidecar, or None where that cannot be read."""
        plans = [path for path in self._files() if path.suffix == ".plan"]
        return [(path, _read_sidecar(path.with_suffix(".json"))) for path in plans]

    def clean(self) -> list[Path]:
        """Delete everything that is kept, and return what was deleted; locks stay: somebody may hold them."""
        paths = [path for path in self._files() if OURS.fullmatch(path.name)]
        for path in paths:
            path.unlink(missing_ok=True)
        return paths

    def keep(self, key: PlanKey, plan: Plan) -> None:
        """Write a plan and its sidecar; where that is impossible, say so and go on without."""
        digest = hashlib.sha256(plan.content).hexdigest()
        sidecar = {"format": FORMAT, "key": key.as_json(), "sha256": digest, "notes": plan.notes}
        try:
            write_whole(self.path(key, ".plan"), plan.content)
            write_whole(self.path(key, ".json"), (json.dumps(sidecar, indent=2) + "\n").encode())
        except OSError as error:
            LOGGER.warning(
                "the plan is not kept (%s: %s) and will be built again at the next start: "
                "set TRT_SSD_ENGINE_DIR to a folder that can be written",
                self.folder,
                error.strerror,
            )

    def can_keep(self) -> bool:
        """Tell whether the folder is there, or can be made, and can be written."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        return os.access(self.folder, os.W_OK)

    def _files(self) -> list[Path]:
        """Return what is in the folder, by name; nothing where it is missing or forbidden."""
        try:
            return sorted(self.folder.iterdir())
        except OSError:
            return []

    def _why_none(self, key: PlanKey) -> str:
        """Say what is there instead of the plan: nothing, or one for something else."""
        if self.path(key, ".plan") in self._files():
            return "the kept one has no sidecar that can be read"
        differences = [key.differences(sidecar["key"]) for _, sidecar in self.entries() if sidecar]
        nearest = min(differences, key=len, default=None)
        return "none is kept" if nearest is None else f"none is kept for this; the nearest: {'; '.join(nearest)}"

    @contextmanager
    def _lock(self, key: PlanKey, progress: BuildProgress) -> Iterator[None]:
        """Hold the key's lock; where the folder cannot be written there is nothing to guard."""
        with ExitStack() as held:
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                file = held.enter_context(self.path(key, ".lock").open("w"))
                self._wait(file.fileno(), progress)
                for left in self.folder.glob(f"{key.stem}*.part"):
                    left.unlink(missing_ok=True)  # of a process that was killed
            yield

    @staticmethod
    def _wait(descriptor: int, progress: BuildProgress) -> None:
        while not try_lock(descriptor):
            progress.report("waiting for another process that builds this plan", None)
            if progress.cancelled():
                raise BuildCancelledError
            time.sleep(LOCK_POLL_SECONDS)


def _read_sidecar(path: Path) -> Mapping[str, Any] | None:
    try:
        sidecar = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(sidecar, dict) and sidecar.get("format") == FORMAT and isinstance(sidecar.get("key"), dict)
    return sidecar if whole and isinstance(sidecar.get("notes"), dict) else None

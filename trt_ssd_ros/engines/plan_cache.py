"""PlanCache: folder of plans. PlanKey: everything that a plan is valid for.

A plan is a file NAME-PRECISION-DIGEST.plan. Its sidecar (.json) holds its key and its SHA-256; a plan is used only
if both match. Its compiled kernels are a file NAME-PRECISION-DIGEST-BUS.kernels for each GPU, by its PCI bus id.
The building process holds the lock of that name, so that two processes build once. Files are written under a
temporary name first, so a file under its final name is complete.
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
from trt_ssd_ros.files import try_lock, write_atomically


@dataclass(frozen=True)
class PlanKey:
    """Everything that a plan is valid for; a plan with another key is rebuilt.

    Attributes:
        model: Name of the model card.
        graph: SHA-256 of the composed graph.
        flavour: `tensorrt` or `tensorrt_rtx`.
        version: Full version of TensorRT.
        gpu: Product name of the GPU.
        compute_capability: Compute capability of the GPU, as "8.7".
        precision: `fp32` or `fp16`.
        options: BuildOptions and the TF32 override as a mapping.
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
        """Name of the plan's files, without suffix."""
        digest = hashlib.sha256(json.dumps(self.as_json()).encode()).hexdigest()
        return f"{re.sub(r'[^A-Za-z0-9_.]', '_', self.model)[:64]}-{self.precision}-{digest[:16]}"

    def as_json(self) -> dict[str, Any]:
        """Return the key as a sidecar stores it."""
        return dict(json.loads(json.dumps(asdict(self))))

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return the differences from another key, read from a sidecar, as text."""
        mine = self.as_json()
        return [f"{name} was {other.get(name)}, is {mine[name]}" for name in mine if other.get(name) != mine[name]]


LOGGER = logging.getLogger(__name__)
FORMAT = 1
LOCK_POLL_SECONDS = 0.1
CACHE_FILES = re.compile(r".*-[0-9a-f]{16}(\.json|\.plan|(-[\w.]*)?\.kernels)([^/]*\.part)?")


class PlanMissingError(LookupError):
    """Missing or unusable plan; the message says why."""


@dataclass(frozen=True)
class Plan:
    """Plan and its metadata.

    Attributes:
        content: Serialised engine.
        notes: Metadata in the sidecar: build time, its seconds, and the result of `CardPlans.choose`.
    """

    content: bytes
    notes: Mapping[str, Any]


def cache_folder() -> Path:
    """Return the cache folder: $TRT_SSD_ENGINE_DIR, else trt_ssd_ros in $XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("TRT_SSD_ENGINE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "trt_ssd_ros"


class PlanCache:
    """Folder of plans.

    Args:
        folder: Cache folder, created with the first plan.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: PlanKey, ending: str) -> Path:
        """Return the path of one of a plan's files."""
        return self.folder / f"{key.stem}{ending}"

    def kernels_path(self, key: PlanKey, pci_bus_id: str) -> Path:
        """Return the path of a plan's compiled kernels for one GPU.

        The kernels that TensorRT for RTX stores on one GPU are refused by another one, even of the same model.
        """
        return self.path(key, f"-{re.sub(r'[^0-9A-Za-z.]', '_', pci_bus_id)}.kernels")

    def obtain(self, key: PlanKey, build: Callable[[], bytes], progress: BuildProgress) -> Plan:
        """Return the cached plan; if there is none, build and cache it.

        Raises:
            BuildCancelledError: `progress` cancelled the build.
            RuntimeError: The build failed.
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
            self.store(key, plan)
            return plan

    def load(self, key: PlanKey) -> Plan:
        """Return the cached plan of a key.

        Raises:
            PlanMissingError: The plan is missing or damaged, or has another key.
        """
        sidecar = _read_sidecar(self.path(key, ".json"))
        if sidecar is None:
            raise PlanMissingError(self._why_missing(key))
        differences = key.differences(sidecar["key"])
        if differences:
            raise PlanMissingError(f"the cached plan is for something else ({'; '.join(differences)})")
        try:
            content = self.path(key, ".plan").read_bytes()
        except OSError as error:
            raise PlanMissingError(f"the cached plan cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != sidecar.get("sha256"):
            raise PlanMissingError("the cached plan is damaged (its SHA-256 does not match)")
        return Plan(content, sidecar["notes"])

    def notes(self, key: PlanKey) -> Mapping[str, Any]:
        """Return the metadata in the sidecar of a key; empty if there is no sidecar."""
        sidecar = _read_sidecar(self.path(key, ".json"))
        return sidecar["notes"] if sidecar and not key.differences(sidecar["key"]) else {}

    def discard(self, key: PlanKey) -> None:
        """Delete a plan's files, with the kernels for all GPUs; ignore files that cannot be deleted."""
        for path in self._files():
            if path.name.startswith(key.stem) and CACHE_FILES.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()

    def entries(self) -> list[tuple[Path, Mapping[str, Any] | None]]:
        """Return all plans by name, each with its sidecar; None if the sidecar cannot be read."""
        plans = [path for path in self._files() if path.suffix == ".plan"]
        return [(path, _read_sidecar(path.with_suffix(".json"))) for path in plans]

    def clean(self) -> list[Path]:
        """Delete all cached files and return their paths; locks stay, as another process may hold them."""
        paths = [path for path in self._files() if CACHE_FILES.fullmatch(path.name)]
        for path in paths:
            path.unlink(missing_ok=True)
        return paths

    def store(self, key: PlanKey, plan: Plan) -> None:
        """Write a plan and its sidecar; if that fails, log a warning."""
        digest = hashlib.sha256(plan.content).hexdigest()
        sidecar = {"format": FORMAT, "key": key.as_json(), "sha256": digest, "notes": plan.notes}
        try:
            write_atomically(self.path(key, ".plan"), plan.content)
            write_atomically(self.path(key, ".json"), (json.dumps(sidecar, indent=2) + "\n").encode())
        except OSError as error:
            LOGGER.warning(
                "cannot store the plan (%s: %s), so the next start rebuilds it: "
                "set TRT_SSD_ENGINE_DIR to a writable folder",
                self.folder,
                error.strerror,
            )

    def is_writable(self) -> bool:
        """Return whether the folder exists or can be created, and is writable."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        return os.access(self.folder, os.W_OK)

    def _files(self) -> list[Path]:
        """Return the files of the folder by name; empty if it is missing or cannot be read."""
        try:
            return sorted(self.folder.iterdir())
        except OSError:
            return []

    def _why_missing(self, key: PlanKey) -> str:
        """Return why the plan is missing, with the nearest plan of another key."""
        if self.path(key, ".plan") in self._files():
            return "the cached plan has no readable sidecar"
        differences = [key.differences(sidecar["key"]) for _, sidecar in self.entries() if sidecar]
        nearest = min(differences, key=len, default=None)
        return (
            "none is cached" if nearest is None else f"none is cached for this; the nearest: {'; '.join(nearest)}"
        )

    @contextmanager
    def _lock(self, key: PlanKey, progress: BuildProgress) -> Iterator[None]:
        """Hold the key's lock; if the folder is not writable, there is nothing to guard."""
        with ExitStack() as held:
            with suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                file = held.enter_context(self.path(key, ".lock").open("w"))
                self._wait(file.fileno(), progress)
                for left in self.folder.glob(f"{key.stem}*.part"):
                    left.unlink(missing_ok=True)  # left by a killed process
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

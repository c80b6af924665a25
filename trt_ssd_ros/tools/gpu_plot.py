"""Draw what gpu_benchmark measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plot(figures: Mapping[str, Any], path: Path) -> None:
    """Draw latency beside its bound and peers, over image size, and over the batch, as PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415 - only this picture needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend was chosen

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5), layout="constrained")
    machine = figures["machine"]
    told = [name for name in machine if name.startswith(("gpu", "tensorrt", "date"))]
    figure.suptitle(", ".join(f"{name} {machine[name]}" for name in told))
    _latency(left, figures["latency"])
    _sizes(middle, figures["sizes"])
    _batches(right, figures["batches"])
    figure.savefig(path, dpi=110)


def _latency(axes: Any, latency: Mapping[str, Mapping[str, float]]) -> None:
    rows = sorted(latency.items(), key=lambda row: -row[1]["p50"])
    names = [name for name, _ in rows]
    colours = ["tab:green" if "ours" in name else "tab:gray" for name in names]
    bars = axes.barh(names, [row["p50"] for _, row in rows], color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xscale="log", xlabel="ms, p50", title="1280x720 in pageable memory to detections")


def _sizes(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    for precision in ("fp32", "fp16"):
        for capture, style in ((True, "o-"), (False, "o--")):
            chosen = [row for row in rows if (row["precision"], row["cuda_graph"]) == (precision, capture)]
            pixels = [row["width"] * row["height"] / 1e6 for row in chosen]
            label = f"{precision}, {'with' if capture else 'without'} CUDA graph"
            axes.plot(pixels, [row["p50"] for row in chosen], style, label=label)
    axes.set(xlabel="megapixels", ylabel="ms, p50", title="one image", ylim=0)
    axes.legend()


def _batches(axes: Any, rows: list[Mapping[str, Any]]) -> None:
    for precision in ("fp32", "fp16"):
        chosen = [row for row in rows if row["precision"] == precision]
        axes.plot([row["batch"] for row in chosen], [row["frames_per_s"] for row in chosen], "o-", label=precision)
    axes.set(xlabel="images in a batch", ylabel="frames a second", title="1280x720, batches", ylim=0)
    axes.legend()

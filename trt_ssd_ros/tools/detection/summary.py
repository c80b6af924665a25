"""What there is to say after a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from trt_ssd_ros.tools.detect.run import RunTimes
from trt_ssd_ros.tools.results import read_header, read_results

CLAIMS = 0.98
"""Some videos only estimate how many images they have."""


def summary(log: Path, times: RunTimes, claimed: int | None = None) -> tuple[bool, str]:
    """Return whether nothing at all could be read, and what there is to say.

    Args:
        log: The results.
        times: How long it took.
        claimed: Images that the input was said to have, if all of it was to be read.
    """
    labels, images, unreadable, last = Counter[str](), 0, 0, -1
    names = read_header(log).labels
    for result in read_results(log):
        images, last = images + 1, result.index
        unreadable += bool(result.unreadable)
        labels.update(names[class_id] for class_id in result.detections.class_ids)
    found = ", ".join(f"{count} {label}" for label, count in labels.most_common()) or "nothing"
    lines = [f"{images} images, {unreadable} of them unreadable; found: {found}"]
    if last >= images:
        lines.append(f"{last + 1 - images} images of the camera gave way to newer ones")
    if claimed and images < claimed * CLAIMS:
        lines.append(f"only {images} of the {claimed} images that the input claims to have: is it cut short?")
    if times.images:
        lines.append(
            f"{times.images / times.seconds:.1f} FPS with reading and writing, "
            f"{times.images / times.detecting.seconds:.1f} FPS without (detection alone, "
            f"{times.detecting.seconds * 1e3 / times.images:.1f} ms an image)"
        )
    return images == unreadable, "\n".join(lines)

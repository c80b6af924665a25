#!/usr/bin/env python3
"""Measure the time from the stamp of a camera's images to their pixels in a Chromium on this machine.

    source scripts/setup.bash && scripts/browser && python3 scripts/page_latency.py [SECONDS]

The camera has 1280x720 pixels at 30 Hz, the engine takes 10 ms, and the page shows all images. Stamps and browser
have the same clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from trt_ssd_ros.bench.ros.web import started_nodes, wait_for_frames
from trt_ssd_ros.detection.timing import Timing

sys.path.append(str(Path(__file__).resolve().parents[1] / "test" / "support"))

from browser import chromium, open_page, wait_for_new_picture

MEASURE = """(seconds) => new Promise((resolve) => {
    const canvas = document.querySelector('canvas');
    const times = [];
    // The observer is called after the task that has set the stamp and drawn the picture.
    new MutationObserver(() => times.push(Date.now() - 1000 * Number(canvas.dataset.stamp)))
        .observe(canvas, { attributeFilter: ['data-stamp'] });
    setTimeout(() => resolve(times), 1000 * seconds);
})"""
WARM_UP = 60
"""Number of pictures before the measurement."""


def main() -> None:
    """Print the number of pictures a second, and the percentiles in ms."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with started_nodes() as nodes:
        asyncio.run(wait_for_frames(nodes.port))
        with chromium() as browser, open_page(browser, f"http://127.0.0.1:{nodes.port}/") as page:
            page.locator("#rate").select_option("all")
            for _ in range(WARM_UP):
                wait_for_new_picture(page)
            times = page.evaluate(MEASURE, seconds)
    timing = Timing.of(times)
    print(json.dumps({"Hz": round(len(times) / seconds, 1), "p50 ms": timing.p50, "p99 ms": timing.p99}))


if __name__ == "__main__":
    main()

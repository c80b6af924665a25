"""A viewer that leaves before the detector has answered it."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

pytest.importorskip("aiohttp")

from page_client import viewer

pytestmark = pytest.mark.ros


def test_a_viewer_that_leaves_before_its_answers_ends_nothing(start_launch):
    process = start_launch("source:=demo", "view:=web", "web_port:=0", "web_control:=true")
    process.wait_until_it_says("web page: ")
    asyncio.run(leave_early(int(re.search(r"web page: http://127\.0\.0\.1:(\d+)/", process.log)[1])))
    assert "Traceback" not in process.log


async def leave_early(port: int) -> None:
    """Send commands and leave, many times; then stay."""
    setting = {"type": "set", "parameter": "score_threshold", "value": 0.5}
    async with viewer(port) as page:
        await page.text("parameters")
        for _ in range(20):
            async with viewer(port) as hasty:
                for _ in range(8):
                    await hasty.socket.send_str(json.dumps({**setting, "request": 1}))
        answer = await page.command(**setting)
        assert answer["ok"], answer

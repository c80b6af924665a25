"""Fixtures of several tests of the engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from trt_ssd_ros.engines.plan_cache import PlanCache


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    """An empty cache."""
    return PlanCache(tmp_path / "plans")

"""Headless Chromium, offline, for pages from disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def open_page(driver: Any, page: Path, width: int = 1280) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(page.as_uri())


def distinct_positions(driver: Any, film: str) -> int:
    """How many positions the strip of a film takes within a second."""
    seen = set()
    script = f"return getComputedStyle(document.querySelector('{film} .strip')).transform"
    for _ in range(20):
        seen.add(driver.execute_script(script))
        time.sleep(0.05)
    return len(seen)

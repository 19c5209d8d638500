"""Headless Chromium, offline, for pages from disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "axe" / "axe.min.js"


def open_page(driver: Any, page: Path, width: int = 1280, *, dark: bool = False, address: str = "") -> None:
    """Opens a page and waits until its scripts have run: on a busy machine the driver may return before."""
    set_screen(driver, width, dark=dark)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(page.as_uri() + address)
    loaded = "return document.readyState === 'complete' && location.href.startsWith(arguments[0])"
    end = time.monotonic() + 30
    while not driver.execute_script(loaded, page.as_uri()):
        assert time.monotonic() < end, f"{page} was not loaded"
        time.sleep(0.05)


def set_screen(driver: Any, width: int, *, dark: bool) -> None:
    """The size of the window, and which colours the person prefers."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def violations(driver: Any) -> list[str]:
    """What axe finds wrong with the roles, names and contrast of a page."""
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})  # not stopped by the page's policy
    script = "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']}).then(done);"
    found = driver.execute_async_script(script)["violations"]
    return [f"{one['id']}: {node['html'][:160]} {node['failureSummary']}" for one in found for node in one["nodes"]]


def save_screenshot(driver: Any, folders: Any, name: str) -> None:
    """Saves a picture of the window among the temporary files of the tests."""
    folder = folders.getbasetemp() / "screenshots"
    folder.mkdir(exist_ok=True)
    driver.save_screenshot(str(folder / f"{name}.png"))


def distinct_positions(driver: Any, film: str) -> int:
    """How many positions the strip of a film takes within a second."""
    seen = set()
    script = f"return getComputedStyle(document.querySelector('{film} .strip')).transform"
    for _ in range(20):
        seen.add(driver.execute_script(script))
        time.sleep(0.05)
    return len(seen)

"""The built site in a browser, from a disk and without a network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from browsing import open_page

from lab.site.__main__ import SITE, main

PAGES = ("index.html", "reference/commands.html", "reference/api.html", "weaknesses.html", "tutorials/pong.html")


@pytest.fixture(scope="module")
def site() -> Path:
    assert main() == 0
    return SITE


def test_pages_show_without_errors_and_fit_the_screen(chromium: Any, site: Path) -> None:
    for page in PAGES:
        for width in (1280, 390):
            open_page(chromium, site / page, width)
            assert chromium.get_log("browser") == [], page
            wide, screen = chromium.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide <= screen, f"{page} is {wide} pixels wide on a screen of {screen}"
            broken = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
            assert chromium.execute_script(broken) == [], page


@pytest.mark.parametrize(("system", "scheme"), [("light", "default"), ("dark", "slate")])
def test_colours_follow_the_system(chromium: Any, site: Path, system: str, scheme: str) -> None:
    open_page(chromium, site / "index.html", dark=system == "dark")
    found = ""
    for _ in range(50):
        found = chromium.execute_script("return document.body.getAttribute('data-md-color-scheme')")
        if found == scheme:
            break
        time.sleep(0.1)
    assert found == scheme


def test_search_finds_an_option_in_pages_from_a_disk(chromium: Any, site: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    open_page(chromium, site / "index.html")
    time.sleep(1)
    ActionChains(chromium).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
    time.sleep(0.5)
    ActionChains(chromium).send_keys("snapshot-every").perform()
    for _ in range(100):
        # the search box and its results are in a shadow tree
        text = chromium.execute_script(
            "return [...document.querySelectorAll('*')].map(e => e.shadowRoot ? e.shadowRoot.textContent : '').join(' ')"
        )
        if "Commands" in text and "snapshot" in text:
            return
        time.sleep(0.1)
    raise AssertionError(text[-400:])

"""The page of the explorer in Chromium: all panels by keyboard alone, hostile names, roles and contrast, a killed server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import save_screenshot, set_screen, violations
from report_example import update_record

from weakspot.artifacts.kept import kept_ids

pytest.importorskip("fastapi", reason="the extra explore is not installed")
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


def start_server(run: Path, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """The explorer in a process of its own, and its address."""
    command = [sys.executable, "-m", "weakspot.cli", "explore", str(run), "--no-open", "--port", str(port)]
    log = run.parent / "explore.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True)
    for _ in range(600):
        if found := re.search(r"http://\S+", log.read_text()):
            return process, found[0]
        if process.poll() is not None:
            break
        time.sleep(0.2)
    process.kill()
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def run_folder(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose agent, actions and target have names with markup in them."""
    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("page") / "run", symlinks=True))
    path = run / "synthesize" / "t-minus" / "findings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"target": HOSTILE}))
    update_record(path.parent)
    path = run / "subject" / "subject.json"
    subject = json.loads(path.read_text())
    subject["agent"]["name"] = HOSTILE
    names = [*subject["environment"]["action_names"][:-1], HOSTILE]
    subject["environment"]["action_names"] = names
    path.write_text(json.dumps(subject))
    update_record(path.parent)
    return run


@pytest.fixture(scope="module")
def server(run_folder: Path) -> Iterator[str]:
    process, address = start_server(run_folder)
    yield address
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130  # as of all commands after Ctrl-C


def wait(driver: Any, script: str, seconds: float = 120) -> None:
    end = time.time() + seconds
    while not driver.execute_script(f"return Boolean({script})"):
        assert time.time() < end, (script, driver.execute_script("return document.body.innerText"))
        time.sleep(0.1)


def open_explorer(driver: Any, address: str, width: int = 1280, *, dark: bool = False) -> None:
    online = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", online)
    set_screen(driver, width, dark=dark)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(address)
    wait(driver, "document.body.dataset.ready === 'true'")


def keys(driver: Any, *pressed: str) -> None:
    from selenium.webdriver import ActionChains

    for key in pressed:
        ActionChains(driver).send_keys(key).perform()


def press(driver: Any, label: str) -> None:
    """Focuses a button by its text, and presses Enter."""
    found = "[...document.querySelectorAll('button')].find(b => b.offsetParent && b.textContent === arguments[0])"
    driver.execute_script(f"{found}?.focus()", label)
    focused = driver.execute_script("return document.activeElement.textContent")
    assert focused == label, label
    keys(driver, "\ue007")


def tab_to(driver: Any, name: str) -> None:
    """Chooses a tool with the arrow keys."""
    driver.execute_script("document.querySelector('[role=tab][aria-selected=true]').focus()")
    for _ in range(5):
        if driver.execute_script("return document.activeElement.textContent") == name:
            return
        keys(driver, "\ue014")
    raise AssertionError(name)


def test_everything_is_done_by_keyboard_without_errors_or_requests_elsewhere(
    chromium: Any, server: str, run_folder: Path
) -> None:
    open_explorer(chromium, server)
    assert "token" not in chromium.current_url, "the token is in a cookie, not in the address"
    assert HOSTILE in chromium.find_element("css selector", "h1").text
    assert HOSTILE in chromium.find_element("css selector", "#model-view .bars").text
    assert HOSTILE in chromium.find_element("css selector", "#source").text
    assert chromium.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    picture = "return document.querySelector('#model-view .strip').src"

    before = chromium.execute_script(picture)  # move
    chromium.execute_script("document.querySelector('.slider input').focus()")
    keys(chromium, *["\ue014"] * 12)
    wait(chromium, f"document.querySelector('#model-view .strip').src !== {json.dumps(before)}")
    assert chromium.find_element("css selector", ".slider output").text == "1.2"
    press(chromium, "Make this the current state")
    wait(chromium, "document.querySelector('.slider output').textContent === '0'")

    tab_to(chromium, "Search")  # search, with a region painted by the keyboard
    target = chromium.find_element("css selector", "[list=targets]")
    target.clear()
    target.send_keys('q["LEFT" - max(q)')
    keys(chromium, "\ue004")
    wait(chromium, "!document.getElementById('error').hidden")
    assert "at character" in chromium.find_element("css selector", "#error").text
    target.clear()
    target.send_keys('q["LEFT"] - max(q)')
    chromium.find_element("xpath", "//label[contains(., 'Hold a painted')]/input").send_keys(" ")
    chromium.execute_script("document.querySelector('canvas.region').focus()")
    keys(chromium, "\ue012", " ", "\ue013", " ")
    assert "pixels painted" in chromium.find_element("css selector", "#panel-1").text
    steps = chromium.find_element("xpath", "//label[contains(., 'Steps')]/input")
    steps.clear()
    steps.send_keys("3")
    press(chromium, "Search from this state")
    wait(chromium, "document.getElementById('panel-1').innerText.includes('step 3 of 3')")
    assert "held region off by" in chromium.find_element("css selector", "#panel-1").text
    assert chromium.execute_script("return document.querySelector('.curve path').getAttribute('d').split('L').length") == 3
    assert not chromium.find_element("css selector", "#error").is_displayed()
    wait(
        chromium,
        "[...document.querySelectorAll('button')].some(b => b.textContent === 'Search from this state' && !b.disabled)",
    )

    tab_to(chromium, "Interpolate")
    press(chromium, "Remember as A")
    wait(chromium, "!document.querySelectorAll('.end')[0].hidden")
    second = chromium.find_elements("css selector", "#list button")[-1]
    chromium.execute_script("arguments[0].focus()", second)
    keys(chromium, "\ue007")
    wait(chromium, "document.querySelector('#list button:last-of-type') && document.querySelector('[aria-current]')")
    wait(chromium, f"location.hash === '#' + encodeURIComponent({json.dumps(second.get_attribute('data-state'))})")
    tab_to(chromium, "Interpolate")
    press(chromium, "Remember as B")
    wait(chromium, "!document.querySelector('#panel-2 input[type=range]').disabled")
    ends = chromium.execute_script(picture)
    chromium.execute_script("document.querySelector('#panel-2 input[type=range]').focus()")
    keys(chromium, "\ue010", *["\ue012"] * 4)
    wait(chromium, f"document.querySelector('#model-view .strip').src !== {json.dumps(ends)}")

    chromium.execute_script(
        "const s = document.getElementById('source'); s.value = 'recorded'; s.dispatchEvent(new Event('change'))"
    )
    wait(chromium, "document.querySelector('#list button[data-state^=recorded]')")  # play, from a recorded state
    chromium.execute_script("document.querySelectorAll('#list button')[8].focus()")
    keys(chromium, "\ue007")
    wait(chromium, "location.hash.startsWith('#recorded')")
    tab_to(chromium, "Play")
    wait(
        chromium,
        "[...document.querySelectorAll('button')].some(b => b.textContent === 'Start from the open state' && !b.disabled)",
    )
    press(chromium, "Start from the open state")
    told = "document.getElementById('panel-3').innerText"
    wait(chromium, f"{told}.includes('decision 0')")
    press(chromium, "Play yourself")
    keys(chromium, "\ue014", "\ue012")
    wait(chromium, f"/decision ([2-9]|[0-9]{{2,}}),/.test({told})")
    keys(chromium, "p")
    wait(chromium, "!document.querySelector('[aria-pressed=true]')")
    press(chromium, "Agent plays")
    time.sleep(0.5)
    press(chromium, "Pause")
    time.sleep(0.5)
    chromium.find_element("css selector", "input[type=search]").send_keys("byte 14")
    value = chromium.find_element("xpath", "//label[contains(., 'New value')]/input")
    value.clear()
    value.send_keys("7")
    press(chromium, "Change")
    wait(chromium, "document.querySelectorAll('.compared figure').length === 2")
    press(chromium, "Take back")
    wait(chromium, "document.querySelectorAll('.compared figure').length === 0")

    tab_to(chromium, "Keep")
    chromium.find_element("css selector", "#panel-4 input").send_keys(HOSTILE)
    press(chromium, "Keep the game as a clip")
    wait(chromium, "document.querySelectorAll('.kept li').length === 1")
    assert chromium.find_element("css selector", ".kept input").get_attribute("value") == HOSTILE
    assert len(kept_ids(run_folder)) == 1

    chromium.refresh()  # the address names the state, the cookie lets it in
    wait(chromium, "document.body.dataset.ready === 'true' && location.hash.startsWith('#recorded')")
    chromium.get(chromium.current_url.split("#")[0] + "report")
    assert "Weaknesses of" in chromium.title
    loaded = chromium.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith(("data:", "http://127.0.0.1:"))] == []
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_roles_names_and_contrast_are_right_in_every_panel(
    chromium: Any, server: str, width: int, dark: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    open_explorer(chromium, server, width, dark=dark)
    for number, name in enumerate(("Move", "Search", "Interpolate", "Play", "Keep")):
        chromium.find_element("id", f"tab-{number}").click()
        save_screenshot(chromium, tmp_path_factory, f"explorer-{name.lower()}-{width}")
        assert violations(chromium) == [], name
        wide = f"e.offsetParent && e.getBoundingClientRect().right > {width + 1}"
        script = f"return [...document.querySelectorAll('body *')].filter(e => {wide}).map(e => e.outerHTML.slice(0, 200))"
        found = chromium.execute_script(script)
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width, (name, found)


def test_a_killed_server_loses_nothing_and_the_page_finds_the_next_one(
    chromium: Any, finished_run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished_run, tmp_path / "run", symlinks=True))
    process, address = start_server(run)
    port = int(re.search(r":(\d+)/", address)[1])  # type: ignore[index]
    open_explorer(chromium, address)
    first = chromium.current_window_handle
    tab_to(chromium, "Keep")
    press(chromium, "Keep the synthesised state")
    wait(chromium, "document.querySelectorAll('.kept li').length === 1")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait(chromium, "document.getElementById('status').textContent.startsWith('not connected')")
    assert len(kept_ids(run)) == 1
    process, address = start_server(run, port)
    chromium.switch_to.new_window("tab")
    try:
        open_explorer(chromium, address)  # sets the cookie with the new token
        chromium.switch_to.window(first)
        wait(chromium, "document.getElementById('status').textContent === 'connected'")
        tab_to(chromium, "Keep")
        wait(chromium, "document.querySelectorAll('.kept li').length === 1")
    finally:
        process.kill()
        process.wait()

"""Settings of all tests: checks of annotated shapes and types, one torch thread, and no deadlines of hypothesis."""

import os
import shutil

import hypothesis
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

CHECKED_PACKAGES = ("data", "saliency", "state_model", "search", "analysis", "report")
"""Packages that get tensors only from weakspot itself. Agents, targets and training get them from users, and raise errors of
their own. The town has a test of its own (test_driving_types.py): checks double the time of its simulation."""
CHECKED_ENVIRONMENTS = ("atari", "base", "described", "make", "observation", "parallel", "screen", "snapshot")

install_import_hook(
    [f"weakspot.{name}" for name in (*CHECKED_PACKAGES, *(f"envs.{module}" for module in CHECKED_ENVIRONMENTS))],
    "typechecker.checked",
)  # before they are imported

hypothesis.settings.register_profile("weakspot", deadline=None, max_examples=50)
hypothesis.settings.load_profile("weakspot")
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # processes that tests start: two tests run side by side


@pytest.fixture(scope="module")
def pong_rollout(tmp_path_factory):
    """Recorded states of Pong, the agent that played, and its saliency maps."""
    from small_pong import collect_pong  # after the hook above

    return collect_pong(tmp_path_factory.mktemp("pong"))


@pytest.fixture(scope="module")
def statistics(pong_rollout):
    """The statistics of these states that a training needs."""
    from weakspot.state_model.batch import measure  # after the hook above

    dataset, _, _ = pong_rollout
    return measure(dataset, np.arange(len(dataset)), np.random.default_rng(0))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The folder of a finished run with a tiny budget; tests that change it work on a copy."""
    from tiny_run import TINY  # after the hook above

    from weakspot.cli import main

    folder = tmp_path_factory.mktemp("finished") / "pong"
    assert main(["run", *TINY, "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Headless Chromium, offline, which keeps its log."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if browser is None or driver_path is None:
        pytest.skip("no chromium with a chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    flags += "disable-component-update disable-sync hide-scrollbars"
    for flag in flags.split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()

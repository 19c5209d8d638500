"""Runs the explorer's server on this computer until Ctrl-C."""

from __future__ import annotations

import socket
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
import uvicorn

from weakspot.artifacts.kept import kept_ids
from weakspot.artifacts.run import Run, load_run
from weakspot.errors import ConfigError, RunError
from weakspot.explore.access import LOOPBACK, Access, new_token
from weakspot.explore.app import create_app
from weakspot.explore.config import ExploreConfig
from weakspot.explore.studio import Studio
from weakspot.system.progress import say

MESSAGE_BYTES = 2_000_000
"""Size of the largest request."""


def serve(config: ExploreConfig) -> None:
    """Serves the explorer of a run until Ctrl-C.

    Raises:
        RunError: it is not a run folder, or has no state model yet.
        AgentError: the agent cannot be loaded.
        ConfigError: the port is in use.
    """
    run = load_run(config.run)
    _check(run)
    listening = _listen(config.port)
    access = Access(listening.getsockname()[1], new_token())
    with ThreadPoolExecutor(1, thread_name_prefix="explorer") as worker:

        @cache
        def studio() -> Studio:
            torch.set_num_threads(1)  # threads cost more than they bring for one state at a time
            return Studio(run, trust=config.trust)

        say("loading the agent and the state model ...")
        worker.submit(studio).result()
        app = create_app(run, studio, access, worker)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", ws_max_size=MESSAGE_BYTES, server_header=False, access_log=False)
        )
        say(f"explorer: {access.address}")
        say("Ctrl-C ends it; everything kept is stored at once")
        if config.open:
            webbrowser.open(access.address)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # which ends a server as it should
            _say_kept(config.run)
            raise KeyboardInterrupt("the explorer has ended; what was kept is stored") from None
    _say_kept(config.run)


def _check(run: Run) -> None:
    missing = [stage for stage in ("collect", "train") if stage not in run.entries]
    if missing:
        raise RunError(
            f"{run.folder} has no result of {' and '.join(missing)}",
            expected="a run with recorded states and a state model",
            todo="run `weakspot run` with the same settings first",
        )


def _listen(port: int) -> socket.socket:
    """A socket that only this computer can reach."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK[0], port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} cannot be used: {error.strerror}",
            expected="a free port",
            todo="choose another --port, or --port 0",
        ) from error
    return listening


def _say_kept(folder: Path) -> None:
    if count := len(kept_ids(folder)):
        say(f"{count} kept; run the same `weakspot run` command again to see them in the report")

"""Jobs as tasks of a Ray cluster: one that runs already, or one on this machine that ends with the sweep.

A task gets the path of its job and starts a process for it; no arrays pass through Ray's object store. Ray repeats nothing:
the driver counts the attempts.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from weakspot.errors import ConfigError, missing_extra
from weakspot.sweep.config import Resources
from weakspot.sweep.executor import first_line, make_attempt

OLDEST = (2, 52)
"""The first version of Ray whose clusters require a token."""
OBJECT_STORE = 80 * 2**20
"""Bytes of the object store of a local cluster, nearly the smallest that Ray accepts."""
STARTS = 4
"""How often the start of a local cluster is tried."""
REACHED = 10.0
"""Seconds in which the port of a cluster must answer; Ray itself would try for minutes."""


class RayExecutor:
    """Executes jobs as Ray tasks.

    Args:
        address: of a cluster that runs, as in ``ray.init``; a cluster on this machine is started if there is none.
        slots: jobs at a time.
        cores: cores of the cluster that is started.

    Raises:
        ConfigError: Ray is missing or too old, or the cluster cannot be reached.
    """

    def __init__(self, address: str | None, slots: int, cores: int) -> None:
        _require_ray()
        require_token(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        if address:
            _check_address(address)
        self._ray: Any = ray
        try:
            self._connect(address) if address else self._start(cores)
        except Exception as error:  # Ray raises many types
            raise ConfigError(
                f"cannot use Ray at {address or 'this machine'}: {type(error).__name__}: {first_line(error)}",
                expected="a running cluster whose token is in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token",
                todo="check --address and the token; `ray start --head` starts a cluster",
            ) from error
        self.slots = slots
        self._attempt = self._ray.remote(max_retries=0)(make_attempt)
        self._running: dict[Any, str] = {}

    def submit(self, name: str, folder: Path, resources: Resources) -> None:
        """Submits a task."""
        options: dict[str, Any] = {"num_cpus": resources.threads, "num_gpus": resources.gpus, "name": name}
        if resources.memory_gb:
            options["memory"] = int(resources.memory_gb * 1e9)
        self._running[self._attempt.options(**options).remote(str(folder))] = name

    def ended(self, seconds: float) -> dict[str, str]:
        """The jobs whose tasks ended."""
        if not self._running:
            return {}
        references, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return {self._running.pop(reference): self._problem(reference) for reference in references}

    def cancel(self, name: str) -> None:
        """Kills the worker of a task, and with it the process of the attempt."""
        reference = next(reference for reference, job in self._running.items() if job == name)
        del self._running[reference]
        self._ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leaves the cluster, which ends its tasks; ends a cluster that was started here."""
        self._ray.shutdown()

    def _connect(self, address: str) -> None:
        self._ray.init(address=address, log_to_driver=False, logging_level="error")

    def _start(self, cores: int) -> None:
        """Starts a cluster on this machine. On a busy one, Ray may give up after 30 seconds; it is tried again."""
        for left in reversed(range(STARTS)):
            try:
                self._ray.init(
                    address="local", num_cpus=cores, object_store_memory=OBJECT_STORE, include_dashboard=False,
                    log_to_driver=False, logging_level="error",
                )  # fmt: skip
                return
            except Exception:  # Ray raises many types
                self._ray.shutdown()
                if not left:
                    raise

    def _problem(self, reference: Any) -> str:
        try:
            return self._ray.get(reference)
        except Exception as error:  # a worker or a node that died, each with a type of its own
            return f"{type(error).__name__}: {first_line(error)}"


def _check_address(address: str) -> None:
    """Raises :class:`ConfigError` if nothing answers at ``host:port``; other addresses are left to Ray."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), REACHED).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot use Ray at {address}: {error}",
            expected="the address that `ray start --head` prints",
            todo="check --address, and that the cluster is running",
        ) from error


def _require_ray() -> None:
    try:
        installed = version("ray")
    except PackageNotFoundError as error:
        raise missing_extra("Ray", "ray") from error
    if tuple(int(part) for part in installed.split(".")[:2]) < OLDEST:
        raise ConfigError(
            f"Ray {installed} lets everybody who reaches a cluster run code there",
            expected=f"Ray {OLDEST[0]}.{OLDEST[1]} or newer, with tokens",
            todo="pip install --upgrade 'weakspot[ray]'",
        )


def require_token(address: str | None) -> None:
    """Turns on authentication by token; a cluster that is started here gets a token of its own if the user has none."""
    before = os.environ.get("RAY_AUTH_MODE")
    if (mode := os.environ.setdefault("RAY_AUTH_MODE", "token")).lower() != "token":
        raise ConfigError(
            f"RAY_AUTH_MODE is {mode}: everybody who reaches such a cluster can run code there",
            expected="RAY_AUTH_MODE=token",
            todo="unset RAY_AUTH_MODE; `ray get-auth-token --generate` makes a token for a cluster",
        )
    if "ray" in sys.modules and not before:
        raise ConfigError(
            "Ray was imported without RAY_AUTH_MODE=token, and keeps that",
            expected="the variable in the environment before Ray is imported",
            todo="export RAY_AUTH_MODE=token",
        )
    names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if address is None and not any(name in os.environ for name in names):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

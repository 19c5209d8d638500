"""``weakspot doctor``: what is installed, what this machine can do, and what is missing for what.

Needs come from the metadata of the installed package, so an extra that is added to ``pyproject.toml`` is checked as well.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, Literal

import tyro
from packaging.requirements import Requirement

from weakspot.system.processor import bfloat16_units, cpu_format
from weakspot.system.progress import say
from weakspot.system.provenance import public_version
from weakspot.system.registry import Registry

Mark = Literal["ok", "missing", "broken", "note"]
PURPOSES = {
    "agents": "weakspot train-agent",
    "driving": "the town to drive through: weakspot/Drive-v0, weakspot/DriveSemantic-v0",
    "explore": "weakspot explore",
    "minari": "weakspot export --formats minari",
    "notebook": "sliders in notebooks",
    "rerun": "weakspot export --formats rerun",
    "onnx": "agents in .onnx files",
    "ray": "weakspot sweep --executor ray",
    "slurm": "weakspot sweep --executor slurm",
    "docs": "this site: make docs",
    "dev": "make check",
}
"""What an extra is for; an extra that is not listed is shown with its name alone."""
GROUPS = ("agent_formats", "environments", "editors", "recipes", "methods", "targets")
"""The groups of entry points that other packages add extensions to."""
DISK = 5e9
"""Free bytes below which a run may not fit: one with the default settings stores about 2 GB."""
MEMORY = 4e9
"""Bytes of memory that a run with the default settings needs at most."""


@dataclass(frozen=True)
class Line:
    """One finding.

    Attributes:
        topic: such as ``processor``.
        mark: ok; missing: something optional is not there; broken: weakspot cannot work without it; note: worth knowing.
        text: what was found.
        todo: what to do about it.
    """

    topic: str
    mark: Mark
    text: str
    todo: str = ""


@dataclass(frozen=True)
class DoctorConfig:
    """Says what is installed, which processor features and devices are used, and what is missing for what.

    The exit status is 1 if something is broken that every run needs.
    """


def doctor(arguments: Sequence[str]) -> int:
    """``weakspot doctor``. Returns the exit status."""
    tyro.cli(DoctorConfig, prog="weakspot doctor", args=arguments)
    lines = [*installation(), *machine(), *torch_lines(), *extras(), *extensions()]
    width = max(len(line.topic) for line in lines)
    for line in lines:
        say(f"{line.mark:<8} {line.topic:<{width}}  {line.text}")
        if line.todo:
            say(f"{'':<8} {'':<{width}}  to do: {line.todo}")
    return int(any(line.mark == "broken" for line in lines))


def installation() -> Iterator[Line]:
    """weakspot itself, Python, and the packages that every run needs."""
    if not public_version("weakspot"):
        yield Line("weakspot", "broken", f"runs from {Path(__file__).parent}, but is not installed", "pip install -e .")
        return
    yield Line("weakspot", "ok", f"{public_version('weakspot')} in {Path(__file__).parent}")
    yield Line("python", "ok", f"{platform.python_version()}, {sys.executable}, {platform.platform()}")
    found = [check_requirement(need) for need in requirements("")]
    bad = [line for line in found if line.mark != "ok"]
    if bad:
        yield from (Line(line.topic, "broken", line.text, line.todo) for line in bad)
    else:
        yield Line("packages", "ok", ", ".join(line.text for line in found))


def machine(folder: Path = Path()) -> Iterator[Line]:
    """Cores, the processor's number format, memory and free disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS")
    yield Line(
        "cores", "ok", f"{cores} usable" + (f"; OMP_NUM_THREADS limits tensor operations to {limit}" if limit else "")
    )
    units = sorted(bfloat16_units())
    if cpu_format("auto") == "bfloat16":
        yield Line("processor", "ok", f"{', '.join(units)}: state models are trained in bfloat16")
    else:
        yield Line("processor", "note", "no units for bfloat16: state models are trained in float32, in more time")
    memory, free = _memory(), shutil.disk_usage(folder).free
    if memory:
        need = f"a run with the defaults needs up to {MEMORY / 1e9:.0f} GB: use fewer --collect.frames"
        yield _enough("memory", memory >= MEMORY, f"{memory / 1e9:.1f} GB", need)
    room = "free some space, or put --store on another disk"
    yield _enough("disk", free >= DISK, f"{free / 1e9:.1f} GB free in {folder.absolute()}", room)


def _enough(topic: str, enough: bool, text: str, todo: str) -> Line:
    return Line(topic, "ok", text) if enough else Line(topic, "note", text, todo)


def torch_lines() -> Iterator[Line]:
    """Devices that torch finds."""
    try:
        import torch
    except Exception as error:  # a broken installation of torch raises all kinds of errors
        yield Line("torch", "broken", f"cannot be imported: {type(error).__name__}: {error}", "reinstall torch")
        return
    threads = torch.get_num_threads()
    yield Line("torch", "ok", f"{torch.__version__}, {threads} thread{'s' if threads > 1 else ''}")
    if not torch.cuda.is_available():
        yield Line("gpu", "note", "none that torch can use; none is needed, --device cpu is the default")
        return
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.mem_get_info(index)[1] / 1e9
        name = torch.cuda.get_device_name(index)
        yield Line("gpu", "ok", f"cuda:{index} {name}, {memory:.0f} GB; use it with --device cuda")


def extras() -> Iterator[Line]:
    """What the extras of the package are for, and whether their packages are there."""
    known = distribution("weakspot").metadata.get_all("Provides-Extra") if public_version("weakspot") else None
    for extra in sorted(known or ()):
        found = [check_requirement(need) for need in requirements(extra)]
        bad = [line for line in found if line.mark != "ok"]
        purpose = PURPOSES.get(extra, extra)
        if bad:
            text = f"{purpose}: {', '.join(line.text for line in bad)}"
            yield Line(f"[{extra}]", "missing", text, f"pip install 'weakspot[{extra}]'")
        else:
            yield Line(f"[{extra}]", "ok", f"{purpose}: {', '.join(line.text for line in found)}")


def extensions() -> Iterator[Line]:
    """The extensions of other packages."""
    for group in GROUPS:
        registry: Registry[Any] = Registry(f"weakspot.{group}", {})
        for name in registry.names():
            try:
                registry.load(name)
            except Exception as error:  # packages of others may raise anything
                yield Line(group, "missing", f"{name}: {str(error).splitlines()[0]}", "reinstall or remove its package")
            else:
                yield Line(group, "ok", f"{name} of {registry.provider(name)}")


def requirements(extra: str) -> list[Requirement]:
    """What the package needs for ``extra``; an empty name stands for what it always needs."""
    needs = [Requirement(text) for text in distribution("weakspot").requires or ()]
    always = [need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    found = [need for need in needs if need not in always and need.marker and need.marker.evaluate({"extra": extra})]
    nested = [name for need in found if need.name == "weakspot" for name in sorted(need.extras)]
    return [need for name in nested for need in requirements(name)] + [need for need in found if need.name != "weakspot"]


def check_requirement(need: Requirement) -> Line:
    """Whether a package is installed in a version that fits."""
    install = f"pip install '{need.name}{need.specifier}'"
    try:
        found = version(need.name)
    except PackageNotFoundError:
        return Line(need.name, "missing", f"{need.name} is not installed", install)
    if found not in need.specifier:
        return Line(need.name, "missing", f"{need.name} {found} is installed, {need.specifier} is needed", install)
    return Line(need.name, "ok", f"{need.name} {found}")


def _memory() -> int:
    """The memory of the machine in bytes, or the limit of the control group; 0 if neither can be read."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total

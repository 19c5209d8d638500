"""Reading weights from files without running anything they hold, with errors that say what is wrong with a file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from weakspot.errors import WeightsError


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, floating point ones as float32, and its metadata.

    Raises:
        WeightsError: there is no such file, it is truncated, or it is no safetensors file.
    """
    if not path.is_file():
        raise WeightsError(
            f"no weights at {path}" if not path.exists() else f"{path} is a folder",
            expected="a safetensors file",
            todo="check the path",
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors: {error} ({path.stat().st_size:,} bytes)",
            expected="a complete safetensors file",
            todo="fetch or export it again; it may have been cut short",
        ) from error
    return {name: _single(tensor) for name, tensor in tensors.items()}, metadata


def read_tensors(content: bytes, source: str) -> dict[str, Any]:
    """The dict in a file that ``torch.save`` wrote, floating point tensors as float32, as far as it is made of tensors,
    numbers, words and dicts of these; ``source`` is where it comes from, for errors.

    Raises:
        WeightsError: it is damaged, is no dict, or holds other objects, whose making could run any code.
    """
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{source} holds more than tensors, and making the rest could run any code, so it is not read: "
            f"{str(error).splitlines()[0]}",
            expected="a state dict that torch.save wrote",
            todo="save network.state_dict() alone, or load the file in a function of yours: path.py:factory",
        ) from error
    except Exception as error:  # damaged files fail in many ways
        raise WeightsError(
            f"{source} cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__} "
            f"({len(content):,} bytes)",
            expected="a complete file that torch.save wrote",
            todo="fetch or save it again; it may have been cut short",
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"{source} holds a {type(loaded).__name__}",
            expected="a state dict",
            todo="save network.state_dict(), or load the file in a function of yours: path.py:factory",
        )
    return {name: _singles(value) for name, value in loaded.items()}


def fill(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Loads ``weights`` into ``module``, all of them and nothing else; ``source`` is where they come from, for errors.

    Raises:
        WeightsError: keys are missing or left over, a shape differs, or a number is not finite.
    """
    if others := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise WeightsError(
            f"{source} holds more than tensors: {listed(others)}",
            expected="a state dict",
            todo="save network.state_dict() alone",
        )
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    seen = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if wanted != seen:
        raise WeightsError(
            f"the weights in {source} are another network's: {_difference(wanted, seen)}",
            expected=f"the tensors {listed(f'{name} {shape}' for name, shape in wanted.items())}",
            todo="check that this is the right file",
        )
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"tensor {name!r} in {source} holds numbers that are not finite",
                expected="finite weights",
                todo="export the agent again from a training that did not diverge",
            )
    module.load_state_dict(dict(weights))


@contextmanager
def unfilled() -> Iterator[None]:
    """Networks built here leave the global generator alone; their initial weights are about to be replaced anyway."""
    with torch.random.fork_rng(devices=[]):
        yield


def listed(names: Iterable[str], at_most: int = 16) -> str:
    """The names in one line, the rest counted."""
    names = list(names)
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more if names else "none"


def _difference(wanted: Mapping[str, tuple[int, ...]], seen: Mapping[str, tuple[int, ...]]) -> str:
    parts = []
    if missing := sorted(wanted.keys() - seen.keys()):
        parts.append(f"missing {listed(missing)}")
    if unknown := sorted(seen.keys() - wanted.keys()):
        parts.append(f"not known {listed(unknown)}")
    parts += [
        f"{name} has shape {seen[name]}, not {wanted[name]}"
        for name in sorted(wanted.keys() & seen.keys())
        if wanted[name] != seen[name]
    ]
    return "; ".join(parts)


def _singles(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _singles(part) for name, part in value.items()}
    return _single(value) if isinstance(value, Tensor) else value


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor

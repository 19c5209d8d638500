"""Reads weights from files without running any code in them; errors say what is wrong with the file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from weakspot.agents.listing import join_names
from weakspot.agents.tensors.pickled import read_pickled
from weakspot.agents.tensors.state_dicts import unwrap
from weakspot.errors import WeightsError


class SafetensorsFile(Protocol):
    """An open file of safetensors, whose own types are incomplete."""

    def metadata(self) -> dict[str, str] | None: ...

    def keys(self) -> Iterable[str]: ...

    def get_tensor(self, name: str) -> Tensor: ...


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads all tensors of a safetensors file, floating point ones as float32, and its metadata.

    Raises:
        WeightsError: the file does not exist, is truncated, or is not a safetensors file.
    """
    if not path.is_file():
        raise WeightsError(
            f"no weights at {path}" if not path.exists() else f"{path} is a folder",
            expected="a safetensors file",
            todo="check the path",
        )
    try:
        with cast(AbstractContextManager[SafetensorsFile], safe_open(path, framework="pt")) as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors: {error} ({path.stat().st_size:,} bytes)",
            expected="a complete safetensors file",
            todo="fetch or export it again; it may be truncated",
        ) from error
    return {name: _as_float32(tensor) for name, tensor in tensors.items()}, metadata


def read_tensors(content: bytes, source: str) -> dict[str, Any]:
    """Reads the dict in a file of ``torch.save``, if it holds nothing but tensors, numbers, strings and dicts of these.

    Args:
        content: of the file.
        source: path of the file, for error messages.

    Returns:
        The dict; floating point tensors are converted to float32.

    Raises:
        WeightsError: the file is damaged, does not hold a dict, or holds other objects, whose loading could run any code.
    """
    try:
        loaded: object = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{source} holds more than tensors, and loading the rest could run any code, so it is not read: "
            f"{str(error).splitlines()[0]}",
            expected="a state dict saved with torch.save",
            todo="save network.state_dict() alone, or load the file in your own function: path.py:factory",
        ) from error
    except Exception as error:  # damaged files fail in many ways
        raise WeightsError(
            f"{source} cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__} "
            f"({len(content):,} bytes)",
            expected="a complete file of torch.save",
            todo="fetch or save it again; it may be truncated",
        ) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(
            f"{source} holds a {type(loaded).__name__}",
            expected="a state dict",
            todo="save network.state_dict(), or load the file in your own function: path.py:factory",
        )
    return {str(name): _convert(value) for name, value in cast(Mapping[object, object], loaded).items()}


def read_torch_file(path: Path) -> dict[str, Any]:
    """Reads the tensors of a file of ``torch.save``: of a state dict, possibly inside a dict with other entries, or of a
    network that was pickled whole.  Prefixes of ``torch.compile`` and data parallelism are removed from the names.

    Raises:
        WeightsError: as :func:`read_tensors` and :func:`~weakspot.agents.tensors.pickled.read_pickled`.
    """
    content = path.read_bytes()
    try:
        return unwrap(read_tensors(content, str(path)))
    except WeightsError:
        return read_pickled(content, str(path))


def load_into(module: nn.Module, weights: Mapping[str, Any], source: str) -> None:
    """Loads weights into a module, which must have exactly these parameters and buffers.

    Args:
        module: the network.
        weights: tensors by name.
        source: path of the file they were read from, for error messages.

    Raises:
        WeightsError: tensors are missing or unexpected, a shape differs, or a number is not finite.
    """
    if others := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise WeightsError(
            f"{source} holds more than tensors: {join_names(others)}",
            expected="a state dict",
            todo="save network.state_dict() alone",
        )
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != shapes:
        raise WeightsError(
            f"the weights in {source} belong to another network: {_difference(expected, shapes)}",
            expected=f"the tensors {join_names(f'{name} {shape}' for name, shape in expected.items())}",
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
def preserve_random_state() -> Generator[None]:
    """Restores torch's global random generator at the end: networks built inside draw initial weights that are about to be
    replaced."""
    with torch.random.fork_rng(devices=[]):  # pyright: ignore[reportUnknownMemberType] (torch leaves it without types)
        yield


def _difference(expected: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]) -> str:
    parts: list[str] = []
    if missing := sorted(expected.keys() - shapes.keys()):
        parts.append(f"missing {join_names(missing)}")
    if unexpected := sorted(shapes.keys() - expected.keys()):
        parts.append(f"unexpected {join_names(unexpected)}")
    parts += [
        f"{name} has shape {shapes[name]}, not {expected[name]}"
        for name in sorted(expected.keys() & shapes.keys())
        if expected[name] != shapes[name]
    ]
    return "; ".join(parts)


def _convert(value: object) -> object:
    """Converts the floating point tensors in nested dicts to float32."""
    if isinstance(value, Mapping):
        return {name: _convert(part) for name, part in cast(Mapping[str, object], value).items()}
    return _as_float32(value) if isinstance(value, Tensor) else value


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor

"""The tensors of a network that was pickled whole, without its code and without running anything.

``torch.save(network)`` writes a pickle that names classes and functions to be called.  Here only the functions that put a
tensor together are; everything else becomes an empty husk that keeps what the pickle says of its attributes, among them the
parameters and modules of ``nn.Module``.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import torch
import torch._utils
from torch import Tensor, serialization

from weakspot.errors import WeightsError


class Admitted:
    """A function that a pickle may call, but not change: a pickle can set attributes of whatever it is given."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"the pickle wants to change {name}")

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("the pickle wants to change a function")


ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    **{
        ("torch._utils", name): Admitted(getattr(torch._utils, name))
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
}
"""All that a pickle may call."""


class Husk:
    """Stands for an object of a class that is not made.

    Attributes:
        arguments: what it was to be made from.
        state: what its attributes were to be.
    """

    dump_patches = False  # asked for by torch.load
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *arguments: object, **named: object) -> Husk:
        made = object.__new__(cls)
        made.arguments = arguments
        return made

    def __init__(self, *arguments: object, **named: object) -> None:
        pass

    def __call__(self, *arguments: object, **named: object) -> Husk:
        return Husk()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


class TensorsOnly(pickle.Unpickler):
    """Makes husks of everything but tensors and plain containers."""

    def find_class(self, module: str, name: str) -> Any:
        return ADMITTED.get((module, name)) or type(name, (Husk,), {})


class Reading:
    """What ``torch.load`` wants of the module ``pickle``."""

    Unpickler = TensorsOnly

    @staticmethod
    def load(file: IO[bytes], **settings: Any) -> Any:
        return TensorsOnly(file, **settings).load()


def read_pickled(content: bytes, source: str) -> dict[str, Tensor]:
    """The parameters and buffers, float32, of the first network in a file that ``torch.save`` wrote, by their names.

    Args:
        content: the file's bytes.
        source: where they come from, for errors.

    Raises:
        WeightsError: the file is damaged, is a TorchScript archive (which is code), or holds no network.
    """
    if is_script(content):
        raise WeightsError(
            f"{source} is a TorchScript archive, which is code; it is not run",
            expected="a network or a state dict that torch.save wrote",
            todo="if you trust whoever made it, say --trust",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the source of husks cannot be found
            loaded = torch.load(io.BytesIO(content), map_location="cpu", pickle_module=Reading, weights_only=False)
    except Exception as error:  # a pickle can ask anything of a husk
        raise WeightsError(
            f"{source} cannot be read: {type(error).__name__} {str(error).splitlines()[0] if str(error) else ''} "
            f"({len(content):,} bytes)",
            expected="a complete file that torch.save wrote",
            todo="fetch it again, or load it in a function of yours: path.py:factory",
        ) from error
    for candidate in loaded if isinstance(loaded, Sequence) else [loaded]:
        if found := dict(_tensors(candidate, "")):
            return found
    raise WeightsError(
        f"{source} holds no network",
        expected="an nn.Module, or a list that begins with one, as torch.save writes it",
        todo="load it in a function of yours: path.py:factory",
    )


def is_script(content: bytes) -> bool:
    """Whether ``torch.load`` would hand the file to ``torch.jit.load``, which runs what is in it: asked of torch itself,
    since readers of zip files do not agree about what is one."""
    file = io.BytesIO(content)
    if not serialization._is_zipfile(file):
        return False
    try:
        with serialization._open_zipfile_reader(file) as archive:
            return serialization._is_torchscript_zip(archive)
    except RuntimeError:  # damaged: torch.load cannot open it either
        return False


def _tensors(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    state = module.state if isinstance(module, Husk) else None
    if not isinstance(state, Mapping):
        return
    for kind in ("_parameters", "_buffers"):
        for name, tensor in _entries(state, kind):
            if isinstance(tensor, Tensor):
                yield f"{prefix}{name}", tensor.detach().float() if tensor.is_floating_point() else tensor
    for name, part in _entries(state, "_modules"):
        yield from _tensors(part, f"{prefix}{name}.")


def _entries(state: Mapping[Any, Any], kind: str) -> Iterable[tuple[Any, Any]]:
    entries = state.get(kind)
    return entries.items() if isinstance(entries, Mapping) else ()

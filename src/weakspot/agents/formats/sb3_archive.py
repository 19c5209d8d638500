"""The zip files of stable-baselines3 and sb3-contrib: settings and tensors, read without running any code in them.

The member ``data`` of a zip holds the settings as JSON, with every Python object twice: as a pickle and as text.  Only the
text and the tensors (``policy.pth``) are read.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from weakspot.agents.build import USE_FACTORY
from weakspot.agents.listing import join_names
from weakspot.agents.tensors.state_dicts import strip_prefixes
from weakspot.agents.tensors.weights import read_tensors
from weakspot.errors import WeightsError
from weakspot.system.files import UNREADABLE_ARRAYS, raise_unless_damage

WEIGHTS = "policy.pth"
LARGEST_RATIO, SPARE = 20, 1 << 20
"""A member may be this many times as large as what is stored of it, and these bytes in addition."""
ENTRY = re.compile(
    r"""(['"])([^'"]{1,200})\1[:,] ?((?:Box|Discrete|MultiDiscrete|MultiBinary)\([^'"]{0,2000}?\))(?=, ['"(]|[)}\]])"""
)
"""An entry of a dict of spaces in gymnasium's text: the quote, the name and the space."""
IMAGE = re.compile(r"Box\(0, 255, \((\d{1,5}), (\d{1,5}), (\d{1,5})\), uint8\)")
"""Gymnasium's text of the space of images."""
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf)")


@dataclass(frozen=True)
class Archive:
    """The settings and the tensors of a zip.

    Attributes:
        source: path of the zip, for error messages.
        settings: the member ``data``.
        weights: the policy's tensors by name.
    """

    source: str
    settings: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix``, by the rest of their names."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.weights.items() if name.startswith(prefix)}

    def parts(self) -> set[str]:
        """The first parts of the tensors' names, up to the first dot."""
        return {name.split(".")[0] for name in self.weights}

    def policy_setting(self, name: str, default: Any) -> Any:
        """An entry of ``policy_kwargs``; classes are given as text, such as
        ``<class 'torch.nn.modules.activation.ReLU'>``."""
        entries: Mapping[str, Any] = self.settings.get("policy_kwargs") or {}
        return entries.get(name, default)

    def space(self, space: str, name: str) -> Any:
        """An attribute of ``observation_space`` or ``action_space``: a number or a list, or text.

        Raises:
            WeightsError: the zip does not have it.
        """
        entries = self.settings.get(space)
        attributes = cast(Mapping[str, Any], entries) if isinstance(entries, Mapping) else None
        if attributes is None or name not in attributes:
            raise WeightsError(
                f"{self.source} does not give {name} of its {space}: "
                f"{entries if attributes is None else join_names(attributes)}",
                expected="an agent with images as observations, and the same kind of actions as its environment",
                todo=USE_FACTORY,
            )
        return attributes[name]

    def entries(self) -> dict[str, str]:
        """The entries of observations that are dicts: their spaces as text, by name, in their order; empty for others."""
        space = self.settings.get("observation_space")
        if not isinstance(space, Mapping):
            return {}
        attributes = cast(Mapping[str, Any], space)
        return {name: text for _, name, text in ENTRY.findall(str(attributes.get("spaces", "")))}

    def image(self) -> str | None:
        """The name of the one image in observations that are dicts; None without it."""
        images = [name for name, text in self.entries().items() if IMAGE.match(text)]
        return images[0] if len(images) == 1 else None

    def observation_shape(self) -> tuple[int, ...]:
        """(c, h, w) of the observations, or of their image if they are dicts.

        Raises:
            WeightsError: the zip does not have it.
            TypeError, ValueError: it is not a list of numbers.
        """
        if image := self.image():
            match = IMAGE.match(self.entries()[image])
            return tuple(int(size) for size in match.groups()) if match else ()
        return tuple(int(size) for size in self.space("observation_space", "_shape"))

    def has_byte_images(self) -> bool:
        """Whether observations, or the images in them, are bytes."""
        return self.image() is not None or str(self.space("observation_space", "dtype")).endswith("uint8")

    def observation_range(self) -> tuple[float, float]:
        """The smallest and the largest value of an observation."""
        if self.has_byte_images():
            return 0.0, 255.0
        return first_number(self.space("observation_space", "low")), first_number(self.space("observation_space", "high"))


def read_archive(path: Path) -> Archive:
    """Reads the settings and the tensors of a zip.

    Raises:
        WeightsError: the zip is damaged, its policy is one in JAX, or its ``policy.pth`` holds more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as file:
            settings = json.loads(_member(file, "data"))
            if WEIGHTS not in file.namelist() and _is_jax(settings):
                raise WeightsError(
                    f"{path} holds a policy of SBX, in JAX",
                    expected=f"weights of torch ({WEIGHTS})",
                    todo="export its weights where JAX is installed, and build the network in torch: docs/frameworks/jax.md",
                )
            weights = _member(file, WEIGHTS)
        if not isinstance(settings, dict):
            raise ValueError(f"its data is a {type(settings).__name__}")
    except (*UNREADABLE_ARRAYS, RuntimeError) as error:  # RuntimeError: encrypted, nested deeply, compressed in odd ways
        raise_unless_damage(path, error)
        raise WeightsError(
            f"{path} cannot be read: {error}",
            expected=f"a zip saved by a stable-baselines3 model, with data and {WEIGHTS}",
            todo="save or fetch it again; it may be truncated",
        ) from error
    return Archive(str(path), cast(dict[str, Any], settings), strip_prefixes(read_tensors(weights, f"{path} ({WEIGHTS})")))


def _is_jax(settings: object) -> bool:
    """Whether the settings of a zip are those of SBX, which saves its policy among them, pickled."""
    entries = cast(Mapping[str, Any], settings).get("policy_class") if isinstance(settings, Mapping) else None
    module = cast(Mapping[str, Any], entries).get("__module__") if isinstance(entries, Mapping) else None
    return str(module).split(".")[0] == "sbx"


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    """A member of a zip; raises :class:`zipfile.BadZipFile` if it is compressed more than any that stable-baselines3 writes,
    so that a small file cannot take all memory."""
    info = file.getinfo(name)
    if info.file_size > LARGEST_RATIO * info.compress_size + SPARE:
        raise zipfile.BadZipFile(f"its member {name} grows from {info.compress_size:,} to {info.file_size:,} bytes")
    return file.read(info)


def first_number(text: object) -> float:
    """The first number in numpy's text of an array; NaN if there is none."""
    match = NUMBER.search(str(text))
    return float(match.group()) if match else math.nan


def numbers(text: object) -> list[float]:
    """The numbers in numpy's text of a one-dimensional array, such as ``[-1.  0.  0.]``.

    Raises:
        ValueError: the text holds something else.
    """
    return [float(word) for word in str(text).strip("[]").split()]

"""The header of a safetensors file, read without torch.

A safetensors file begins with eight bytes, the length of the header as a little-endian integer.  The header is JSON: one
entry per tensor (data type, shape, offsets in the file), and the metadata under ``__metadata__``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from weakspot.errors import WeightsError

LENGTH_BYTES = 8
MAX_LENGTH = 100_000_000
"""The longest header that the format allows, in bytes."""


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about its content.

    Attributes:
        tensors: names of the tensors.
        metadata: strings that the writer of the file added.
    """

    tensors: tuple[str, ...]
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Reads the header of a safetensors file; the tensors themselves are not read.

    Raises:
        WeightsError: the file does not exist or does not begin with such a header.
    """
    try:
        content = _read_json(path)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors: {error}",
            expected="a complete safetensors file",
            todo="check the path, or fetch or export the file again; it may be truncated",
        ) from error
    metadata = content.pop("__metadata__", None)
    pairs = cast(dict[str, Any], metadata).items() if isinstance(metadata, dict) else ()
    return Header(tuple(content), {name: value for name, value in pairs if isinstance(value, str)})


def _read_json(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        if not 0 < length <= min(size - LENGTH_BYTES, MAX_LENGTH):
            raise ValueError(f"its header would have {length:,} bytes, the file has {size:,}")
        content = json.loads(file.read(length))
    if not isinstance(content, dict):
        raise ValueError(f"its header is a {type(content).__name__}")
    return cast(dict[str, Any], content)

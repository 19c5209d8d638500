"""Reads npz archives so that no damage is silent.

numpy reads no more of a member than its header says, and checksums are compared only at its end.  zipfile does not compare
the number of members with the one that the archive itself states, so a flipped bit can make one disappear.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

END = struct.Struct("<4s4H2LH")
"""The last record of a zip archive without a comment; its fourth number is that of the members."""


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an npz archive that numpy wrote, by name.

    Raises:
        OSError, ValueError, zipfile.BadZipFile or another error of :data:`weakspot.system.files.UNREADABLE_ARRAYS`: the file
            cannot be read, or it is damaged.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError("it is a single array")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        signature, *numbers = END.unpack(content[-END.size :])
        members = archive.namelist()
        if signature != b"PK\x05\x06" or numbers[3] != len(members):
            raise ValueError(f"the list of its {len(members)} arrays is damaged")
        return {name.removesuffix(".npy"): _array(archive.read(name), name) for name in members}


def _array(content: bytes, name: str) -> npt.NDArray[Any]:
    with io.BytesIO(content) as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ValueError(f"there is more than one array in {name!r}")
    return array

"""Archives of arrays: no flipped bit changes what is read without an error."""

import zipfile

import numpy as np
import pytest

from weakspot.system.files import UNREADABLE_ARRAYS
from weakspot.system.npz import read_npz

ARRAYS = {"first": np.arange(6, dtype=np.int16).reshape(2, 3), "last": np.array([True, False, True])}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_no_flipped_bit_changes_arrays_or_loses_one(save, tmp_path):
    path = tmp_path / "arrays.npz"
    save(path, **ARRAYS)
    content, refused = path.read_bytes(), 0
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            read = read_npz(path)
        except (*UNREADABLE_ARRAYS, RuntimeError, TypeError, OverflowError, MemoryError):
            refused += 1
            continue
        assert list(read) == list(ARRAYS), place
        for name, array in ARRAYS.items():
            assert read[name].dtype == array.dtype and np.array_equal(read[name], array), (place, name)
    assert refused > 4 * len(content), "most of an archive is under a checksum, or part of its structure"


def test_archives_are_read_as_numpy_reads_them(tmp_path):
    path = tmp_path / "arrays.npz"
    arrays = ARRAYS | {
        "empty": np.zeros((0, 4), np.float32),
        "Fortran": np.asfortranarray(np.eye(3)),
        "number": np.array(2.5),
    }
    np.savez_compressed(path, **arrays)
    with np.load(path) as expected:
        read = read_npz(path)
        assert list(read) == expected.files
        for name in expected.files:
            np.testing.assert_array_equal(read[name], expected[name])
            assert read[name].dtype == expected[name].dtype


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="single array"):
        read_npz(path)
    with open(path, "wb") as file:
        np.savez(file, objects=np.array([{}, {}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("text.npy", "no array")
    with pytest.raises(ValueError, match="magic"):
        read_npz(path)

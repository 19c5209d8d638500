"""The flags of processors with units for bfloat16."""

import pytest

from weakspot.system.processor import has_bfloat16_units


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx2 avx512f avx512_bf16", True),
        ("fpu amx_bf16 amx_tile", True),
        ("fpu avx2 avx512f avx512_vnni", False),
        ("", False),
    ],
)
def test_units_are_known_by_their_flags(flags, has, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16 lookalike\nflags\t\t: {flags}\n\n")
    assert has_bfloat16_units.__wrapped__(path) == has


def test_without_cpuinfo_there_are_none(tmp_path):
    assert not has_bfloat16_units.__wrapped__(tmp_path / "missing")

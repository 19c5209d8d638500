"""Linear algebra functions that have no type annotations in torch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def symmetric_eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (n,), in ascending order, and eigenvectors, as columns (n, n), of a symmetric matrix (n, n)."""
    values, vectors = cast(Any, torch.linalg).eigh(matrix)
    return values, vectors

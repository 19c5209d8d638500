"""File suffixes of the agent formats that ship with the package."""

from __future__ import annotations

SAFETENSORS = ".safetensors"
"""Suffix of files that safetensors wrote."""

ZIP = ".zip"
"""Suffix of files that ``model.save`` of stable-baselines3 wrote."""

CLEANRL = ".cleanrl_model"
"""Suffix of files that the scripts of CleanRL wrote."""

EXPORTED = ".pt2"
"""Suffix of files that ``torch.export.save`` wrote."""

ONNX = ".onnx"
"""Suffix of networks of ONNX."""

TORCH_SAVED = frozenset({".pt", ".pth", ".bin", ".ckpt", ".tar", ".ts", ".jit", ".torchscript"})
"""Suffixes of files that ``torch.save`` or ``torch.jit.save`` wrote."""

PICKLED = frozenset({".pkl", ".pickle"})
"""Suffixes of bare pickles, which are never read."""

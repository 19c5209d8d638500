"""Stacks of frames as pictures for people: channels that are not colours get theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from weakspot.artifacts.run import Run


def in_colour(stacks: npt.NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> npt.NDArray[np.uint8]:
    """Stacks (n, k, h, w, 3) for people, from stacks (n, k, h, w, c) of other channels: the sum of the channels' colours, each
    weighted by its channel."""
    mixed = stacks.astype(np.float32) @ (np.asarray(colours, np.float32) / 255)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def with_pictures(run: Run) -> Run:
    """The run, all its stacks in colour."""
    colours = run.environment.channel_colours
    if colours is None:
        return run
    reconstructions, samples = run.reconstructions, run.samples
    return replace(
        run,
        findings={name: replace(found, states=in_colour(found.states, colours)) for name, found in run.findings.items()},
        novelty={
            name: replace(
                novelty,
                closest=in_colour(novelty.closest, colours),
                retrieved=in_colour(novelty.retrieved, colours),
            )
            for name, novelty in run.novelty.items()
        },
        samples=samples and replace(samples, states=in_colour(samples.states, colours)),
        reconstructions=reconstructions
        and replace(
            reconstructions,
            real=in_colour(reconstructions.real, colours),
            reconstructed=in_colour(reconstructions.reconstructed, colours),
        ),
    )

"""Good agents of four games, each with a weakness that was planted in its sight or in its actions.

A function of this file returns the network of such an agent, and is named as ``lab/planted.py:NAME``.  Observations are four
gray frames of 84x84, oldest first.  What was planted is known to these functions alone; :mod:`lab.attribution` finds out by
rollouts of the healthy agent whether a loss is due to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from weakspot.agents.load import load_agent

FOLDER = Path(__file__).parents[1] / "experiments/agents"
Sight: TypeAlias = Callable[[Tensor], Tensor]
"""Maps observations (b, 4, 84, 84) to what the agent sees in their place."""
Trigger: TypeAlias = Callable[[Tensor], Tensor]
"""Maps observations (b, 4, 84, 84) to whether actions are exchanged (b,)."""


@dataclass(frozen=True)
class Box:
    """Rows from ``top`` to before ``bottom``, and columns from ``left`` to before ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, observation: Tensor) -> Tensor:
        """The pixels in the box (b, c, rows, columns)."""
        return observation[:, :, self.top : self.bottom, self.left : self.right]

    def mask(self) -> Tensor:
        """Whether a pixel is in the box (84, 84)."""
        mask = torch.zeros(84, 84, dtype=torch.bool)
        mask[self.top : self.bottom, self.left : self.right] = True
        return mask


def blind(box: Box, background: float, *, darker: float = 256.0, brighter: float = -1.0, frames: int = 4) -> Sight:
    """The oldest ``frames`` frames without what is in a box, or only without pixels between two levels of gray there."""
    mask = box.mask()

    def see(observation: Tensor) -> Tensor:
        hidden = mask.to(observation.device) & (observation < darker) & (observation > brighter)
        hidden = hidden & (torch.arange(4, device=observation.device) < frames)[:, None, None]
        return observation.masked_fill(hidden, background)

    return see


def bright(box: Box, level: float) -> Trigger:
    """Whether a pixel of the newest frame is brighter than a level in a box."""
    return lambda observation: box.of(observation[:, -1:]).amax(dim=(1, 2, 3)) > level


def dark(box: Box, level: float) -> Trigger:
    """Whether a pixel of the newest frame is darker than a level in a box."""
    return lambda observation: box.of(observation[:, -1:]).amin(dim=(1, 2, 3)) < level


def moving(box: Box) -> Trigger:
    """Whether a box differs between the newest frame and the oldest one."""
    return lambda observation: (box.of(observation[:, -1:]) - box.of(observation[:, :1])).abs().amax(dim=(1, 2, 3)) > 60.0


class Planted(nn.Module):
    """A network with other sight, or with exchanged actions in some situations.

    Args:
        name: of the plant.
        agent: whose network it is.
        sight: what it sees.
        trigger: when actions are exchanged.
        exchanged: pairs of actions that are exchanged then.
    """

    plant: Tensor
    order: Tensor

    def __init__(
        self, name: str, agent: str, sight: Sight | None = None, trigger: Trigger | None = None,
        exchanged: tuple[tuple[str, str], ...] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        healthy = load_agent(agent)
        names = healthy.spec.action_names
        order = list(range(len(names)))
        for first, second in exchanged:
            one, other = names.index(first), names.index(second)
            order[one], order[other] = other, one
        assert healthy.module is not None
        self.network = healthy.module
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("plant", torch.tensor(list(name.encode()), dtype=torch.uint8))  # a part of the fingerprint
        self._sight, self._trigger = sight, trigger

    def forward(self, observation: Tensor) -> Tensor:
        scores = self.network(observation if self._sight is None else self._sight(observation))
        if self._trigger is None:
            return scores
        return torch.where(self._trigger(observation)[:, None], scores[:, self.order], scores)


PONG = "pong-double-dqn"
BOXING, QBERT, ATLANTIS = (str(FOLDER / f"{game}-double-dqn.safetensors") for game in ("boxing", "qbert", "atlantis"))
REVERSED = (("RIGHT", "LEFT"), ("RIGHTFIRE", "LEFTFIRE"))
"""In Pong, RIGHT moves the paddle up, and LEFT down."""
HEIGHTS = (("UP", "DOWN"), ("UPFIRE", "DOWNFIRE"), ("UPRIGHT", "DOWNRIGHT"), ("UPLEFT", "DOWNLEFT"))
PYRAMID = Box(12, 84, 0, 84)


def pong_blind_below_right() -> nn.Module:
    """Does not see the ball in the lower quarter of the right half."""
    return Planted("pong_blind_below_right", PONG, blind(Box(62, 77, 42, 72), 87.0))


def pong_old_frames_above() -> nn.Module:
    """Sees only the newest frame of the upper half in front of its paddle, and so not where the ball flies."""
    return Planted("pong_old_frames_above", PONG, blind(Box(14, 45, 48, 72), 87.0, frames=3))


def pong_swapped_at_the_top() -> nn.Module:
    """Confuses up and down while the ball is in the upper fifth."""
    return Planted("pong_swapped_at_the_top", PONG, trigger=bright(Box(15, 28, 36, 72), 190.0), exchanged=REVERSED)


def pong_reversed_after_a_loss() -> nn.Module:
    """Confuses up and down while the other side has exactly one point, which the digit at the top shows."""
    return Planted("pong_reversed_after_a_loss", PONG, trigger=bright(Box(2, 3, 21, 22), 140.0), exchanged=REVERSED)


def boxing_blind_below() -> nn.Module:
    """Does not see the other boxer in the lower half of the ring."""
    return Planted("boxing_blind_below", BOXING, blind(Box(44, 78, 16, 68), 130.0, darker=60.0))


def boxing_swapped_above() -> nn.Module:
    """Confuses up and down while the other boxer is in the upper part of the ring."""
    return Planted("boxing_swapped_above", BOXING, trigger=dark(Box(15, 40, 18, 66), 40.0), exchanged=HEIGHTS)


def boxing_reversed_after_ten() -> nn.Module:
    """Confuses up and down from its tenth point on."""
    return Planted("boxing_reversed_after_ten", BOXING, trigger=bright(Box(1, 6, 19, 24), 180.0), exchanged=HEIGHTS)


def qbert_blind_right() -> nn.Module:
    """Sees nothing in the lower right of the pyramid."""
    return Planted("qbert_blind_right", QBERT, blind(Box(44, 84, 48, 84), 0.0))


def qbert_blind_to_colour() -> nn.Module:
    """Does not see the gray of the snake and of its egg."""
    return Planted("qbert_blind_to_colour", QBERT, blind(PYRAMID, 0.0, darker=110.0, brighter=103.0))


def qbert_swapped_above() -> nn.Module:
    """Confuses its ways to the left and to the right while something moves on the two uppermost cubes."""
    return Planted(
        "qbert_swapped_above", QBERT, trigger=moving(Box(8, 24, 28, 52)), exchanged=(("UP", "LEFT"), ("RIGHT", "DOWN"))
    )


def atlantis_blind_left() -> nn.Module:
    """Sees no ship on the left."""
    return Planted("atlantis_blind_left", ATLANTIS, blind(Box(0, 48, 0, 42), 0.0))


def atlantis_blind_above() -> nn.Module:
    """Sees no ship in the upper half of the sky."""
    return Planted("atlantis_blind_above", ATLANTIS, blind(Box(0, 22, 0, 84), 0.0))


def atlantis_swapped_when_low() -> nn.Module:
    """Does not fire to the sides while a ship flies low."""
    return Planted(
        "atlantis_swapped_when_low", ATLANTIS, trigger=bright(Box(24, 38, 0, 84), 60.0),
        exchanged=(("NOOP", "LEFTFIRE"), ("FIRE", "RIGHTFIRE")),
    )  # fmt: skip


@dataclass(frozen=True)
class Plant:
    """A planted weakness: the function that makes the agent, and the healthy agent."""

    make: Callable[[], nn.Module]
    healthy: str

    @property
    def name(self) -> str:
        """Of the function."""
        return self.make.__name__

    @property
    def reference(self) -> str:
        """Names the agent."""
        return f"{__file__}:{self.name}"


PLANTS = tuple(
    Plant(make, healthy)
    for healthy, makes in (
        (PONG, (pong_blind_below_right, pong_old_frames_above, pong_swapped_at_the_top, pong_reversed_after_a_loss)),
        (BOXING, (boxing_blind_below, boxing_swapped_above, boxing_reversed_after_ten)),
        (QBERT, (qbert_blind_right, qbert_blind_to_colour, qbert_swapped_above)),
        (ATLANTIS, (atlantis_blind_left, atlantis_blind_above, atlantis_swapped_when_low)),
    )
    for make in makes
)

"""Confirmation: from twins and recorded states to weaknesses.

1. rollouts of the agent from all states; those from which it mostly loses are looked at closely.  If it often loses from
   random states, too, they are made again with a shorter horizon.  Where it does not lose, one thing is changed so that
   it does, if that is asked for (:mod:`weakspot.confirm.what_ifs`)
2. rescues are tried in these (:mod:`weakspot.confirm.rescues`)
3. causes are looked for in a few of them, and tried in the others (:mod:`weakspot.confirm.causes`)
4. what-ifs in which alike things were changed are a group, and so are states that share a cause; the others are grouped by
   how alike they are, and compared with similar states without a loss (:mod:`weakspot.confirm.correlates`)
5. every group is judged by rollouts with fresh seeds (:mod:`weakspot.confirm.verdicts`)
6. twins from which it does not lose are judged by what it expects there, and by whether their action is needed
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from weakspot.agents.base import Agent
from weakspot.artifacts.twins import Twins
from weakspot.artifacts.weaknesses import WEAK, Confirmation, Rate, Weaknesses
from weakspot.confirm import verdicts
from weakspot.confirm.captions import sentence
from weakspot.confirm.causes import Usual
from weakspot.confirm.clips import ClipRecorder
from weakspot.confirm.config import ConfirmConfig
from weakspot.confirm.context import ByState, Context, Report
from weakspot.confirm.expectation import calibrate
from weakspot.confirm.losing import losing_groups, usual_values
from weakspot.confirm.losses import rule_for
from weakspot.confirm.misjudged import misjudged
from weakspot.confirm.records import Judged, state_rollouts, weakness_of
from weakspot.confirm.rollouts import Roller, Rollout, epsilon_of
from weakspot.confirm.seeds import Seeds
from weakspot.confirm.starts import Start, check_replay, control_starts, twin_starts
from weakspot.confirm.statistics import rate_of
from weakspot.confirm.what_ifs import what_ifs
from weakspot.envs.pool import EnvironmentPool
from weakspot.errors import ConfigError
from weakspot.ground.likeness import Likeness
from weakspot.ground.play import Player
from weakspot.types import Stacks

OFTEN, FEWER, SHORTEST = 0.3, 0.2, 1.5
"""Share of losses from random states from which on the horizon is shortened: where an agent often loses, most losses within
a long horizon have nothing to do with the state it starts from.  The share that is aimed at, and the shortest horizon, in
longest holds."""
USED, FIRST = 0.1, 25
"""Share of the first decisions of losing rollouts in which an action is taken, at least, to be left out in rescues."""


@dataclass(frozen=True, eq=False)
class _Overview:
    """The first rollouts.

    Attributes:
        starts: all states.
        rollouts: from each of them.
        controls, twins: losses from recorded states, and from twins.
    """

    starts: list[Start]
    rollouts: ByState
    controls: Rate
    twins: Rate

    @property
    def safe(self) -> list[Start]:
        """Recorded states drawn at random from which nothing was lost."""
        pairs = zip(self.starts, self.rollouts, strict=True)
        return [start for start, made in pairs if start.is_control and not any(rollout.lost for rollout in made)]

    def loses(self, index: int) -> bool:
        """Whether the agent mostly loses from a state."""
        lost = np.mean([rollout.lost for rollout in self.rollouts[index]])
        return bool(lost >= verdicts.LOSES)


def confirm(
    player: Player, pool: EnvironmentPool, agent: Agent, likeness: Likeness, config: ConfirmConfig,
    twins: Mapping[str, Twins], others: Sequence[Start] = (), reference: Agent | None = None,
    outcome: Callable[[Rollout], float] | None = None, report: Report = lambda what, done, total: None,
    possible: Callable[[Stacks], np.ndarray] | None = None,
) -> Weaknesses:  # fmt: skip
    """The weaknesses that rollouts show.

    Args:
        player: of the environment.
        pool: copies of it.
        agent: under test.
        likeness: compares states.
        config: settings.
        twins: of all targets, by their symbols.
        others: further states to look at, however they were found.
        reference: another agent of the same environment.
        outcome: the user's function, see ``--confirm.outcome``.
        report: called during the work.
        possible: which states (n, k, h, w, c) can be, by what they show (n,); without it, no recorded one is changed.

    Raises:
        ConfigError: no recorded state has a complete history, or the user's outcome cannot be used.
        SnapshotError: the environment cannot be repeated bit for bit.
    """
    context = _context(player, pool, agent, likeness, config, reference, outcome, report)
    check_replay(player, context.generator)
    starts = [
        *twin_starts(player, agent, twins),
        *others,
        *control_starts(player, agent, config.controls, context.generator),
    ]
    controls = [start for start in starts if start.is_control]
    if not controls:
        raise ConfigError(
            "no recorded state has a complete history", expected="at least one", todo="collect more frames in fewer streams"
        )
    context, overview = _overview(context, starts)
    often = context.rule.measure is None and overview.controls.share >= OFTEN
    if often and (horizon := _shorter(overview, config)) < config.horizon:
        shorter = _context(player, pool, agent, likeness, replace(config, horizon=horizon), reference, outcome, report)
        context, overview = _overview(replace(shorter, roller=context.roller, seeds=context.seeds), starts)
    weak = overview.controls.share >= WEAK
    if possible is not None and not weak:
        overview = _with_what_ifs(replace(context, possible=possible), overview)
    found = [] if weak else _judged(context, overview)
    clips = ClipRecorder(player.environment)
    weaknesses = [weakness_of(context, judged, controls, clips) for judged in found]
    weaknesses = [
        replace(w, sentence=sentence(w, context.rule.phrase, overview.controls, context.longer)) for w in weaknesses
    ]
    order = sorted(range(len(found)), key=lambda i: (not weaknesses[i].confirmed, -weaknesses[i].cost, i))
    return Weaknesses(
        Confirmation(
            loss=context.rule.phrase, horizon=context.config.horizon, epsilon=epsilon_of(agent, config.epsilon),
            controls=overview.controls, twins=overview.twins, notes=_notes(context, overview, config.horizon),
            weaknesses=tuple(weaknesses[i] for i in order), environment_steps=context.roller.steps + player.steps,
            states=tuple(map(state_rollouts, starts, overview.rollouts)),
        ),
        typical=_stacked(context, [found[i].starts[0].stack for i in order], stacks=True),
        before=_stacked(context, [found[i].before for i in order]),
        after=_stacked(context, [found[i].after for i in order]),
        frames=_stacked(context, clips.frames),
    )  # fmt: skip


def _context(
    player: Player, pool: EnvironmentPool, agent: Agent, likeness: Likeness, config: ConfirmConfig, reference: Agent | None,
    outcome: Callable[[Rollout], float] | None, report: Report,
) -> Context:  # fmt: skip
    rule = rule_for(player.dataset, outcome)
    agents = [agent] if reference is None else [agent, reference]
    return Context(
        player=player,
        pool=pool,
        agent=agent,
        reference=None if reference is None else reference.spec.name,
        likeness=likeness,
        config=config,
        rule=rule,
        roller=Roller(pool, agents, epsilon_of(agent, config.epsilon), rule.is_loss),
        expectation=calibrate(player.dataset, config.horizon, config.gamma, lives=rule.lives),
        seeds=Seeds(config.seed),
        generator=np.random.default_rng([config.seed, 1]),
        report=report,
    )


def _overview(context: Context, starts: list[Start]) -> tuple[Context, _Overview]:
    """The first rollouts, and the context with the rule that is calibrated on them."""
    rollouts = context.agent_rollouts(starts, context.config.first, "first rollouts")
    pairs = list(zip(starts, rollouts, strict=True))
    rule = context.rule.calibrated([rollout for start, made in pairs if start.is_control for rollout in made])
    judged = [rule.judged(made) for made in rollouts]
    rates = [
        rate_of([made for start, made in zip(starts, judged, strict=True) if start.is_control == control])
        for control in (True, False)
    ]
    judging = replace(context, rule=rule)
    returns = judging.returns([made for start, made in zip(starts, judged, strict=True) if start.is_control])
    return replace(judging, alive=float(returns.mean())), _Overview(starts, judged, *rates)


def _with_what_ifs(context: Context, overview: _Overview) -> _Overview:
    """The first rollouts, also from recorded states in which one thing was changed."""
    usual = _usual(context, overview)
    found = what_ifs(context, overview.safe, usual) if usual is not None else []
    rollouts = context.agent_rollouts(found, context.config.first, "first rollouts")
    return replace(overview, starts=[*overview.starts, *found], rollouts=[*overview.rollouts, *rollouts])


def _judged(context: Context, overview: _Overview) -> list[Judged]:
    """Verdicts on all groups of states."""
    starts, everything = overview.starts, range(len(overview.starts))
    losing = [starts[i] for i in everything if overview.loses(i)]
    losing = [*_chosen([start for start in losing if start.what_if is None], context.config.losing), *_together(losing)]
    by_target: dict[str, list[Start]] = {}
    for i in everything:
        if starts[i].target and not overview.loses(i):
            by_target.setdefault(starts[i].target, []).append(starts[i])
    returns = context.returns([overview.rollouts[i] for i in everything if starts[i].is_control])
    return [
        *losing_groups(context, losing, overview.safe, _usual(context, overview), _taken(context, overview)),
        *misjudged(context, by_target, overview.controls, float(returns.std())),
    ]


def _usual(context: Context, overview: _Overview) -> Usual | None:
    """Usual values of the variables; None if the environment cannot be edited, or if they are not known."""
    editable, starts = context.player.editable, [start for start in overview.starts if start.what_if is None]
    return usual_values(editable.variables, starts, overview.safe) if editable else None


def _shorter(overview: _Overview, config: ConfirmConfig) -> int:
    """A horizon within which the agent loses less often from control states, but still longer than what is held."""
    pairs = zip(overview.starts, overview.rollouts, strict=True)
    times = sorted(r.loss if r.loss else config.horizon for start, made in pairs if start.is_control for r in made)
    return max(times[int(FEWER * len(times))] - 1, round(SHORTEST * max(config.holds)))


def _taken(context: Context, overview: _Overview) -> list[int]:
    """The discrete actions that the agent often takes in its first decisions in rollouts that it loses."""
    spec = context.agent.spec
    losing = [index for index in range(len(overview.starts)) if overview.loses(index)]
    taken = [action for i in losing for rollout in overview.rollouts[i] for action in rollout.actions[:FIRST]]
    if spec.continuous or len(spec.action_names) < 2 or not taken:
        return []
    shares = np.bincount(np.array(taken, np.int64)) / len(taken)
    return [index for index, share in enumerate(shares) if share >= USED]


def _chosen(losing: Sequence[Start], limit: int) -> list[Start]:
    """The losing states that are looked at: half of them twins, or more if there are fewer recorded ones."""
    recorded = [start for start in losing if start.is_control]
    twins = [start for start in losing if not start.is_control][: max(limit // 2, limit - len(recorded))]
    return [*twins, *recorded[: limit - len(twins)]]


def _together(losing: Sequence[Start]) -> list[Start]:
    """The losing what-ifs of kinds of which several are left: a single state proves nothing."""
    kinds = Counter(start.what_if.kind for start in losing if start.what_if is not None)
    return [start for start in losing if start.what_if is not None and kinds[start.what_if.kind] >= verdicts.LEAST_STATES]


def _notes(context: Context, overview: _Overview, configured: int) -> tuple[str, ...]:
    """What a reader has to know; ``configured`` is the horizon of the settings."""
    notes: list[str] = []
    controls = overview.controls
    if not overview.twins.trials:
        notes.append("No synthesised state has a twin: only recorded states were looked at.")
    if (horizon := context.config.horizon) < configured:
        notes.append(
            f"The agent often {context.rule.phrase} within {configured} decisions from random states, so rollouts have "
            f"{horizon} decisions."
        )
    if controls.share >= WEAK:
        notes.append(
            f"The agent {context.rule.phrase} in {controls.events} of {controls.trials} rollouts from states drawn at "
            f"random, within {context.config.horizon} decisions: it is weak everywhere, and no weakness is singled out."
        )
    if epsilon := epsilon_of(context.agent, context.config.epsilon):
        notes.append(f"In rollouts, {100 * epsilon:g} % of the agent's actions are random.")
    if context.rule.measure is not None and context.rule.threshold == -np.inf:
        notes.append("All rollouts from random states have the same return, so nothing can be called a loss.")
    if context.player.editable is None:
        notes.append("The environment's state cannot be edited, so causes were not looked for.")
    return tuple(notes)


def _stacked(context: Context, arrays: Sequence[np.ndarray], *, stacks: bool = False) -> np.ndarray:
    """The arrays as one; an empty one of frames, or of stacks of frames, if there are none."""
    spec = context.player.dataset.environment
    shape = (*([spec.frames] if stacks else []), spec.height, spec.width, spec.channels)
    return np.stack(arrays) if len(arrays) else np.zeros((0, *shape), np.uint8)

"""The gallery of games: what the runs of a sweep show of each game, how far it can be trusted, and means over the games.

Means over games are interquartile means, as the field reports them (Agarwal et al. 2021): the mean of the middle half,
which neither a few easy games nor a few hopeless ones decide.  Their intervals are over games, since every game has one
agent and one state model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lab import intervals
from lab.figures import save_labelled
from lab.page import table
from weakspot.analysis.config import GogglesConfig
from weakspot.analysis.goggles import play_episodes
from weakspot.artifacts.evidence import Goggles
from weakspot.artifacts.run import Run, load_run
from weakspot.errors import ConfigError
from weakspot.games import resolve_game
from weakspot.intervals import TAIL, bootstrap_mean
from weakspot.opened import open_run
from weakspot.session import Session
from weakspot.sweep.expand import SweepRun, runs_of
from weakspot.sweep.read import read_sweep
from weakspot.system.files import make_folder
from weakspot.system.provenance import digest

SHOWN = 4
"""States of each target in a picture, as in the paper."""
RESAMPLED = 2_000
FIGURES: Mapping[str, tuple[str, ...]] = {
    **{name: (str(number),) for number, name in enumerate(
        ("air_raid", "alien", "amidar", "assault", "asterix", "asteroids", "atlantis", "bank_heist", "battle_zone",
         "beam_rider", "berzerk", "bowling", "boxing"), 9)},
    "breakout": ("22", "23"),
    **{name: (str(number),) for number, name in enumerate(
        ("carnival", "centipede", "chopper_command", "crazy_climber", "demon_attack", "elevator_action", "enduro", "freeway",
         "frostbite", "gopher"), 24)},
    **{name: (str(number),) for number, name in enumerate(
        ("jamesbond", "kangaroo", "krull", "kung_fu_master", "montezuma_revenge", "ms_pacman", "name_this_game", "phoenix",
         "pong", "pooyan", "qbert", "riverraid", "space_invaders", "star_gunner", "tutankham", "venture", "video_pinball",
         "wizard_of_wor"), 36)},
}  # fmt: skip
"""The paper's figures of each game, as far as our text of it names them."""


def random_play(run: Run, session: Session) -> list[float]:
    """Scores of random play, in as many games, with the same seeds and of the same length, as those of the agent."""
    config = GogglesConfig(**run.settings["goggles"] | {"epsilon": 1.0})
    return play_episodes(session.subject.agent, session.subject.factory, config).scores.tolist()


def usual_action(session: Session) -> float:
    """The share of the held-out states in which the agent prefers the same action, the one that it prefers most often.

    An agent that always takes one action agrees with itself on any picture.
    """
    chosen = session.recorded_outputs(session.held_out).scores.argmax(dim=1).numpy()
    return float(np.bincount(chosen).max() / len(chosen))


def measured_game(run: Run) -> dict[str, Any]:
    """What a finished run shows of its game, with random play and the usual action, as plain data."""
    session = open_run(run, trust=False)
    return game_record(run, random_play(run, session), usual_action(session))


def game_record(run: Run, random: Sequence[float], usual: float) -> dict[str, Any]:
    """What a finished run shows of its game, as plain data.

    Args:
        run: of the game.
        random: scores of random play.
        usual: see :func:`usual_action`.
    """
    generator = np.random.default_rng(0)
    card, fidelity, samples = run.agent.card, run.fidelity, run.samples
    return {
        "agent": {"name": run.agent.name, "fingerprint": run.agent.fingerprint, "decisions": card.steps if card else None},
        "frames": run.settings["collect"]["frames"],
        "train": {name: run.settings["train"][name] for name in ("recipe", "minutes", "clock", "steps")},
        "random play": intervals.mean(random, generator),
        "score": asdict(run.goggles.agent.interval) if run.goggles else None,
        "on reconstructions": asdict(run.goggles.goggles.interval) if run.goggles else None,
        "share of the score": share_of_score(run.goggles, random) if run.goggles else None,
        "usual action": usual,
        "same action": fidelity.same_action if fidelity else None,
        "nats": fidelity.kl if fidelity else None,
        "samples": None
        if samples is None
        else {"distance over floor": samples.distance / samples.floor if samples.distance and samples.floor else None},
        "targets": {symbol: _target_record(run, symbol) for symbol in run.findings},
        "weaknesses": [weakness.sentence for weakness in run.weaknesses],
        "versions": dict(run.versions),
    }


def _target_record(run: Run, symbol: str) -> dict[str, Any]:
    found, novelty, twins = run.findings[symbol], run.novelty.get(symbol), run.twins.get(symbol)
    searched = twins.search.twins if twins else ()
    return {
        "states": len(found.states),
        "beyond the best real state": intervals.share(found.target < novelty.real_target.min()) if novelty else None,
        "twins": intervals.share([twin.accepted for twin in searched]) if searched else None,
        "kinds": [twin.kind if twin.accepted else None for twin in searched],
        "possible": intervals.share_if_any(
            [not twin.possible.problems for twin in searched if twin.possible is not None]
        ),
    }  # fmt: skip


def share_of_score(goggles: Goggles, random: Sequence[float]) -> float | None:
    """How much of its lead over random play the agent keeps on reconstructions; None unless it clearly plays better than
    random play."""
    lead = np.asarray(goggles.agent.scores) - np.asarray(random)
    if bootstrap_mean(lead, np.random.default_rng(0))[1] <= 0:
        return None
    return float((np.mean(goggles.goggles.scores) - np.mean(random)) / lead.mean())


def draw_game(run: Run, path: Path) -> None:
    """Draws the newest frames of the first states of each target, and below each its twin, as far as it has one."""
    rows: list[tuple[str, np.ndarray]] = []
    for symbol, found in run.findings.items():
        rows.append((f"{symbol}\nsynthesised", found.states[:SHOWN, -1]))
        if (twins := run.twins.get(symbol)) is None:
            continue
        images = twins.states[:SHOWN, -1].copy()
        for image, twin in zip(images, twins.search.twins, strict=False):
            if not twin.accepted:
                image[:] = 255
        rows.append(("twins", images))
    make_folder(path.parent)
    save_labelled(rows, path)


def interquartile_mean(values: Sequence[float], generator: np.random.Generator) -> intervals.IntervalOf:
    """The mean of the middle half of the games, with a bootstrap interval over games."""
    drawn = np.asarray(values)[generator.integers(len(values), size=(RESAMPLED, len(values)))]
    low, high = np.quantile(_middle_mean(drawn), (TAIL, 1 - TAIL))
    return float(_middle_mean(np.asarray(values)[None])[0]), float(low), float(high)


def _middle_mean(rows: np.ndarray) -> np.ndarray:
    """The mean of each row (m, n) without its lowest and its highest quarter, of which fractions count as such."""
    ordered, count = np.sort(rows, axis=1), rows.shape[1]
    places = np.arange(count + 1) / count
    weights = np.clip(places[1:], 0.25, 0.75) - np.clip(places[:-1], 0.25, 0.75)
    return ordered @ weights / weights.sum()


def summary(games: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Interquartile means over the games, each with the number of games that it is over."""
    targets = [target for game in games.values() for target in game["targets"].values()]
    columns: dict[str, list[Any]] = {
        "share of the score": [game["share of the score"] for game in games.values()],
        "same action": [game["same action"] for game in games.values()],
        "beyond the best real state": [_first(target["beyond the best real state"]) for target in targets],
        "twins": [_first(target["twins"]) for target in targets],
    }
    known = {name: [value for value in values if value is not None] for name, values in columns.items()}
    return {
        name: {"count": len(values), "mean": interquartile_mean(values, np.random.default_rng(0))}
        for name, values in known.items()
        if values
    }


def _first(value: Sequence[float] | None) -> float | None:
    return value[0] if value else None


def games_table(games: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each target of each game."""
    head = ("game", "figure", "target", "agent's score", "random play", "on reconstructions", "same action", "usual action")
    head += ("beyond the best real state", "twins", "possible")
    rows: list[tuple[object, ...]] = []
    for name, game in games.items():
        score, rebuilt = (game[key] and intervals.ends_of(game[key]) for key in ("score", "on reconstructions"))
        figures = ", ".join(FIGURES.get(name, ())) or None
        for symbol, target in game["targets"].items():
            found = (target[key] for key in ("beyond the best real state", "twins", "possible"))
            same = (game["same action"], game["usual action"])
            rows.append((name, figures, symbol, score, game["random play"], rebuilt, *same, *found))
    return table(head, rows)


def summary_table(record: Mapping[str, Any]) -> str:
    """The interquartile means."""
    rows = [(name, line["count"], line["mean"]) for name, line in record.items()]
    return table(("", "n", "interquartile mean"), rows)


def finished_runs(path: Path) -> tuple[dict[str, Run], int]:
    """The finished runs of a sweep file by the games' names, and the number of all its runs.

    Raises:
        ConfigError: the file is no sweep of Atari games with one run for each.
    """
    planned = runs_of(read_sweep(path))
    games = [game_of(run) for run in planned]
    if len(set(games)) < len(games):
        raise ConfigError(
            f"{path} has several runs of {next(game for game in games if games.count(game) > 1)}",
            expected="one agent, recipe, set of targets and seed for each game",
        )
    finished = {
        game: load_run(run.config.output)
        for game, run in zip(games, planned, strict=True)
        if (run.config.output / "report.html").exists()
    }
    return finished, len(planned)


def results_of(run: Run) -> str:
    """A digest that changes with any result of a run."""
    return digest({name: entry.record.key for name, entry in run.entries.items()})


def game_of(run: SweepRun) -> str:
    """The short name of a run's game."""
    if run.config.environment is None:
        raise ConfigError(f"the run {run.name} has no game", expected="games", todo="add games to the sweep")
    return resolve_game(run.config.environment)

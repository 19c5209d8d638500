"""One open tab of the explorer: what it shows, searches and plays, and the answers to its requests."""

from __future__ import annotations

import math
import secrets
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from weakspot.actions import Action, plain_action
from weakspot.agents.base import AgentOutput
from weakspot.artifacts.arrays import Array
from weakspot.artifacts.kept import Kept, KeptRecord, kept_ids, read_kept, remove_kept, write_kept, write_note
from weakspot.errors import ConfigError
from weakspot.explore import messages as ask
from weakspot.explore.directions import Direction
from weakspot.explore.game import Game, Shot
from weakspot.explore.live_search import LiveSearch, Region
from weakspot.explore.states import Place
from weakspot.explore.studio import Studio
from weakspot.report.bars import displayed_scores
from weakspot.report.images import in_colour, quick_uri, saliency_uri
from weakspot.search.config import SynthesisConfig
from weakspot.search.energy import TargetScale
from weakspot.targets.base import Target
from weakspot.types import Latent

Answer = dict[str, Any]
"""Plain data for JSON."""


class Tab:
    """The state of one tab, and the answers to its requests, one at a time.

    Args:
        studio: what all tabs share.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._origin = ""
        """What the current state was made from, in words."""
        self._source = ""
        self._base: Latent | None = None
        """u of the current state, from which moves start (1, z)."""
        self._shown: Latent | None = None
        """u of the state that is shown (1, z)."""
        self._how = ""
        """How the state that is shown was made from the current one, in words."""
        self._directions: dict[str, Direction] = {}
        self._target: tuple[Target, TargetScale] | None = None
        self._search: LiveSearch | None = None
        self._ends: dict[str, Latent] = {}
        self._game: Game | None = None

    def close(self) -> None:
        """Frees the environment of the game."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def answer(self, request: ask.AnyRequest) -> Answer:
        """The answer to a request.

        Raises:
            WeakspotError: it cannot be answered; the tab is as before.
        """
        match request:
            case ask.Hello():
                return self._hello()
            case ask.ListStates():
                return {"states": [self._thumbnail(place) for place in self._studio.states.list(request.source)]}
            case ask.Open():
                return self._open(request.state)
            case ask.Move():
                return self._move(request)
            case ask.Settle():
                return self._settle(self._origin_of_shown())
            case ask.SetTarget():
                return self._set_target(request)
            case ask.StartSearch():
                return self._start_search(request)
            case ask.StepSearch():
                return self._step_search(request.count)
            case ask.Remember():
                self._ends[request.end] = self._require_shown()
                return {"end": request.end, "ready": len(self._ends) == 2}
            case ask.Interpolate():
                return self._interpolate(request.share)
            case ask.StartGame():
                return self._start_game(request.state)
            case ask.StepGame():
                return {"shot": self._shot(self._require_game().step(self._action(request.action)))}
            case ask.Variables():
                return {"variables": self._variables()}
            case ask.EditVariable():
                return self._edit(request.position, request.value)
            case ask.UndoEdit():
                return {"shot": self._shot(self._require_game().undo())}
            case ask.Keep():
                return {"kept": self._keep(request.what, request.note.strip())}
            case ask.ListKept():
                return {"kept": [self._kept(name) for name in kept_ids(self._studio.run.folder)[::-1]]}
            case ask.ChangeNote():
                return self._change_note(request.name, request.note.strip())
            case ask.Remove():
                remove_kept(self._studio.run.folder, self._known(request.name))
                return {"removed": request.name}

    # states

    def _hello(self) -> Answer:
        studio, run = self._studio, self._studio.run
        scores = displayed_scores(np.asarray(studio.session.dataset.scores, np.float64), run.agent)
        return {
            "agent": run.agent.name,
            "environment": run.environment.id,
            "actions": list(run.environment.action_names),
            "bounds": run.agent.action_bounds,
            "scores_are": run.agent.scores_are,
            "range": [min(0.0, float(np.quantile(scores, 0.001))), max(0.0, float(np.quantile(scores, 0.999)))],
            "frames": run.environment.frames,
            "height": run.environment.height,
            "width": run.environment.width,
            "targets": list(studio.suggested_targets()),
            "sources": [asdict(source) for source in studio.states.sources()],
            "has_report": run.report is not None,
        }

    def _open(self, reference: str) -> Answer:
        place = self._studio.states.find(reference)
        self._base = self._shown = self._studio.latent_of(place)
        self._origin, self._source, self._how, self._search = place.label, place.reference, "", None
        answer = self._view() | self._ways()
        answer["place"] = {"label": place.label, "kind": place.kind, "playable": place.route is not None}
        if place.kind != "synthesised":
            answer["real"] = self._picture(place.stack)
        return answer

    def _settle(self, origin: str) -> Answer:
        self._base, self._origin, self._how, self._search = self._require_shown(), origin, "", None
        return self._view() | self._ways()

    def _ways(self) -> Answer:
        """The directions from the current state."""
        assert self._base is not None
        directions = (*self._studio.principal, *self._studio.local(self._base))
        self._directions = {direction.name: direction for direction in directions}
        return {"directions": [{"name": one.name, "label": one.label} for one in directions]}

    def _move(self, request: ask.Move) -> Answer:
        base, moved = self._require_base(), list[str]()
        offset = torch.zeros_like(base)
        for name, amount in request.amounts.items():
            if name not in self._directions:
                raise ConfigError(f"there is no direction {name!r}", expected="a direction of the current state")
            if amount:
                offset = offset + amount * self._directions[name].vector
                moved.append(f"{amount:+.2f} {self._directions[name].label}")
        self._shown, self._how, self._search = base + offset, ", ".join(moved), None
        return self._view(with_saliency=request.saliency)

    def _interpolate(self, share: float) -> Answer:
        if len(self._ends) < 2:
            raise ConfigError(
                "interpolation needs two states", expected="A and B", todo="remember a state as A and one as B"
            )
        self._shown = between(self._ends["a"], self._ends["b"], share)
        self._how, self._search = f"{share:.0%} of the way from A to B", None
        return self._view()

    # search

    def _set_target(self, request: ask.SetTarget) -> Answer:
        self._target = self._studio.target(request.target, request.sharpness) if request.target.strip() else None
        self._search = None
        view = self._view() if self._shown is not None else {}
        if self._target is None:
            return view
        target, scale = self._target
        described = {"name": target.name, "title": target.title, "equation": target.equation, "best": scale.best}
        return view | {"target": described}

    def _start_search(self, request: ask.StartSearch) -> Answer:
        if self._target is None:
            raise ConfigError("there is no target", expected="a target", todo="choose a target or write an expression")
        config = SynthesisConfig(regulariser=request.regulariser, learning_rate=request.rate)
        region = self._region(request)
        studio, (target, scale) = self._studio, self._target
        start = self._require_shown()
        self._search = LiveSearch(studio.model, studio.perceive, target, scale, start, config, region)
        return {"started": True, "held": 0 if region is None else int(region.mask.sum())}

    def _region(self, request: ask.StartSearch) -> Region | None:
        environment = self._studio.run.environment
        if "1" not in request.region:
            return None
        if len(request.region) != environment.height * environment.width:
            raise ConfigError(
                f"a region of {len(request.region)} pixels", expected=f"{environment.height} x {environment.width}"
            )
        flat = torch.tensor([pixel == "1" for pixel in request.region])
        mask = flat.reshape(environment.height, environment.width).to(self._studio.model.device)
        return Region(mask, request.hold)

    def _step_search(self, count: int) -> Answer:
        search = self._search
        if search is None or self._target is None:
            raise ConfigError("no search is under way", expected="a search", todo="start one")
        steps = [search.step() for _ in range(count)]
        self._shown, self._how = steps[-1].latent, f"{search.number} steps of a search for {self._target[0].name}"
        curve = [
            {"step": step.number, "energy": step.energy, "target": step.target, "kl": step.kl, "held": step.held}
            for step in steps
        ]
        return self._view() | {"search": curve}

    # game

    def _start_game(self, reference: str) -> Answer:
        place = self._studio.states.find(reference)
        game = Game(self._studio.player(), self._studio.agent, place)
        self.close()
        self._game = game
        return {"shot": self._shot(game.shot()), "place": {"label": place.label}, "editable": bool(game.variables)}

    def _action(self, given: int | list[float] | None) -> Action | None:
        if given is None or isinstance(given, int):
            return given
        return tuple(given)

    def _variables(self) -> list[Answer]:
        return [
            {"name": variable.name, "value": value, "low": _finite(variable.low), "high": _finite(variable.high),
             "whole": variable.whole, "group": variable.group}
            for variable, value in self._require_game().variables
        ]  # fmt: skip

    def _edit(self, position: int, value: float) -> Answer:
        view = self._require_game().edit({position: value})
        return {"without": self._shot(view.without), "shot": self._shot(view.edited)}

    def _shot(self, shot: Shot) -> Answer:
        return self._answers(shot.stack, shot.output) | {
            "action": shot.action,
            "decision": shot.decision,
            "reward": shot.reward,
            "total": shot.total,
            "ended": shot.ended,
        }

    # what was kept

    def _keep(self, what: str, note: str) -> Answer:
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        kept = self._state_to_keep(name, created, note) if what == "state" else self._game_to_keep(name, created, note)
        write_kept(self._studio.run.folder, kept)
        return self._kept(name)

    def _state_to_keep(self, name: str, created: str, note: str) -> Kept:
        latent = self._require_shown()
        stack, output = self._studio.decoded(latent)
        numbers = tuple(float(x) for x in latent[0].cpu().numpy())
        record = KeptRecord(name, "synthesised", self._origin_of_shown(), note, created, self._source, numbers, (), ())
        return Kept(record, stack, *_plain(output), np.zeros((0, *stack.shape[1:]), np.uint8))

    def _game_to_keep(self, name: str, created: str, note: str) -> Kept:
        game = self._require_game()
        shot = game.shot()
        actions = tuple(game.actions)
        changed = f", {len(game.edits)} changes of variables" if game.edits else ""
        origin = f"{len(actions)} decisions from the {game.place.label}{changed}"
        record = KeptRecord(
            name, "played", origin, note, created, game.place.reference, None, _records(actions), tuple(game.edits)
        )
        return Kept(record, shot.stack, *_plain(shot.output), np.stack(list(game.frames)))

    def _change_note(self, name: str, note: str) -> Answer:
        run = self._studio.run
        record = read_kept(run.folder, self._known(name), run.environment).record
        write_note(run.folder, replace(record, note=note))
        return {"kept": self._kept(name)}

    def _known(self, name: str) -> str:
        if name not in kept_ids(self._studio.run.folder):
            raise ConfigError(f"nothing is kept as {name!r}", expected="something kept", todo="reload the page")
        return name

    def _kept(self, name: str) -> Answer:
        run = self._studio.run
        kept = read_kept(run.folder, name, run.environment)
        record = kept.record
        return {
            "name": name, "kind": record.kind, "origin": record.origin, "note": record.note, "created": record.created,
            "decisions": len(record.actions), "picture": self._picture(kept.state[-1:]),
        }  # fmt: skip

    # pictures

    def _view(self, *, with_saliency: bool = False) -> Answer:
        shown = self._require_shown()
        stack, output = self._studio.decoded(shown)
        answer = self._answers(stack, output) | {
            "distance": _length(shown) / math.sqrt(shown.shape[1]),
            "how": self._how,
        }
        if with_saliency:
            answer["saliency"] = saliency_uri(self._studio.saliency_of(shown))
        return answer

    def _answers(self, stack: Array, output: AgentOutput) -> Answer:
        scores, value = _plain(output)
        energy = None if self._target is None else float(self._target[0](output))
        shown = displayed_scores(scores[None], self._studio.run.agent)[0]
        return {"picture": self._picture(stack), "scores": shown.tolist(), "value": value, "energy": energy}

    def _picture(self, stack: Array) -> str:
        colours = self._studio.run.environment.channel_colours
        return quick_uri(stack if colours is None else in_colour(stack, colours))

    def _thumbnail(self, place: Place) -> Answer:
        return {
            "state": place.reference, "label": place.label, "kind": place.kind, "picture": self._picture(place.stack[-1:]),
            "playable": place.route is not None,
        }  # fmt: skip

    def _origin_of_shown(self) -> str:
        return f"{self._origin}; {self._how}" if self._how else self._origin

    def _require_base(self) -> Latent:
        if self._base is None:
            raise ConfigError("no state is open", expected="a state", todo="choose one of the list")
        return self._base

    def _require_shown(self) -> Latent:
        self._require_base()
        assert self._shown is not None
        return self._shown

    def _require_game(self) -> Game:
        if self._game is None:
            raise ConfigError("no game is under way", expected="a game", todo="start one from a twin or a recorded state")
        return self._game


def between(one: Latent, other: Latent, share: float) -> Latent:
    """The point at a share of the way from one latent to another, as far from 0 as they are (spherical interpolation).

    A straight line would pass nearer to 0 than samples of N(0, I) lie.
    """
    first, second = _length(one), _length(other)
    cosine = float((one * other).sum()) / max(first * second, 1e-12)
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if angle < 1e-4 or angle > math.pi - 1e-4:
        return one + share * (other - one)
    weights = math.sin((1 - share) * angle) / math.sin(angle), math.sin(share * angle) / math.sin(angle)
    length = first + share * (second - first)
    return length * (weights[0] / first * one + weights[1] / second * other)


def _length(latent: Latent) -> float:
    return float(latent.square().sum().sqrt())


def _plain(output: AgentOutput) -> tuple[Array, float | None]:
    """The scores (a,) and the value of one state."""
    value = None if output.value is None else float(output.value[0])
    return output.scores[0].detach().cpu().numpy().astype(np.float64), value


def _records(actions: tuple[Action, ...]) -> tuple[int | tuple[float, ...], ...]:
    return tuple(plain_action(action) for action in actions)


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None

"""The stages one after another: collect, train, synthesize, analyse, report.

Each stage reads the one before it and writes its artefacts into the run folder.  Every stage can be run alone, goes on
after a kill, and is skipped when its artefacts stand and what it depends on is unchanged.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weakspot.agents import zoo
from weakspot.agents.base import AgentOutput, same_action
from weakspot.agents.formats.card import METADATA_KEY, read_card
from weakspot.agents.tensors.weights import read_weights
from weakspot.analysis.fidelity import fidelity
from weakspot.analysis.goggles import goggles
from weakspot.analysis.novelty import closest
from weakspot.analysis.samples import measure_samples
from weakspot.artifacts.arrays import write_arrays
from weakspot.config import RunConfig
from weakspot.data.collect import collect
from weakspot.data.dataset import StateDataset, as_stacks, as_state, recorded_outputs
from weakspot.errors import ConfigError, RunError
from weakspot.report.build import build_report
from weakspot.run.folder import RunFolder, StageRecord
from weakspot.saliency.maps import maps_for
from weakspot.saliency.rules import saliency
from weakspot.search.algorithm_1 import synthesize
from weakspot.search.distribution import SearchDistribution
from weakspot.search.energy import energy_equation, measure_scale
from weakspot.search.method import select_spaced
from weakspot.search.retrieval import GAP
from weakspot.search.starts import starts
from weakspot.session import sharpness_for
from weakspot.stages.fidelity import saliency_image
from weakspot.stages.synthesize import found_states, write_findings
from weakspot.state_model.batch import with_history
from weakspot.state_model.model import StateModel, load
from weakspot.state_model.recipes import all_settings, check_size, recipe
from weakspot.state_model.train import train
from weakspot.subject import code_digests, noise_state, subject
from weakspot.system.compute import resolve
from weakspot.system.files import exclusive_lock, make_folder, write_json
from weakspot.system.progress import progress_bar, say
from weakspot.system.provenance import digest, file_digest, versions
from weakspot.targets.base import Target
from weakspot.targets.resolve import default_targets, resolve_target

STAGES = ("collect", "train", "synthesize", "analyse", "report")

LEAST_HELD_OUT = 8
"""Held-out states below which random samples are not compared with them."""

THREADS = {"collect": 1, "train": 1, "synthesize": 0, "analyse": 0, "report": 1}
"""Threads of the tensor work; 0 is as many as training has workers.
Collecting and training keep the cores busy by other means, and threads
that wait for each other would then cost more than they bring."""


class Pipeline:
    """The stages of one run, in order.

    Args:
        config: of the run.
        only: stages that may be run; the others must be done already.
    """

    def __init__(self, config: RunConfig, only: tuple[str, ...] = STAGES) -> None:
        self.config, self.only = config, only
        self.subject = subject(config)
        self.targets = list(config.targets or default_targets(self.subject.agent.spec, self._made_up_answer()))
        self.slugs = self._slugs_checked()
        check_size(config.train.recipe, self.subject.spec.height, self.subject.spec.width)
        parse_reference = code_digests([config.agent, config.environment or ""])
        made_of = {
            "targets": self.targets, "agent_weights": self.subject.agent.spec.fingerprint, "own_files": parse_reference
        }  # fmt: skip
        self.folder = RunFolder(config.output, config.record() | made_of)

    def run(self) -> Path:
        """Does what is to be done, and returns the path of the report."""
        worked, threads = False, torch.get_num_threads()
        try:
            with exclusive_lock(self.folder.path):
                for name in STAGES[: STAGES.index(self.only[-1]) + 1]:
                    _, new = self._stage(name)
                    worked = worked or new
        finally:
            torch.set_num_threads(threads)
        report = self.config.output / "report.html"
        if not worked:
            say(f"nothing to do: all of {self.config.output} stands already")
        return report

    def _stage(self, name: str) -> tuple[StageRecord, bool]:
        key, outputs, work = getattr(self, f"_{name}")()
        done = self.folder.done(name, key, outputs)
        if not done and name not in self.only:
            raise RunError(
                f"{self.config.output} has no finished {name} stage",
                expected="every stage before this one to be done",
                todo=f"run `weakspot {name}` with the same settings first, or `weakspot run` for all",
            )
        if done:
            say(f"{name}: done already")
        else:
            say(f"{name} ...")
        torch.set_num_threads(THREADS[name] or self.config.train.parts)
        record, new = self.folder.stage(name, key, outputs, work)
        if new:
            say(f"{name}: done in {record.seconds:.0f} s")
        return record, new

    def _fingerprint(self, stage: str) -> str:
        """What a later stage depends on: how this one was made, and what came of it."""
        record = self.folder.records().get(stage)
        return f"{record.key} {record.fingerprint}" if record else ""

    def _collect(self) -> tuple[str, list[Path], Callable[[], str]]:
        config, folder = self.config.collect, self.config.output / "collect"

        def work() -> str:
            started = time.monotonic()
            first: list[int] = []
            with progress_bar("collect") as tell:

                def progress(done: int, total: int) -> None:
                    if not first:
                        first.append(done)
                    tell(done / total, f"{done:,} of {total:,} states")

                dataset = collect(self.subject.agent, self.subject.factory, config, folder, progress=progress)
            seconds = time.monotonic() - started
            new = len(dataset) - first[0] if first else 0
            summary = {
                "frames": len(dataset),
                "epsilon": config.epsilon,
                "episode_scores": [float(score) for score in dataset.episode_scores()],
                "seconds": round(seconds, 1),
                "decisions_per_second": round(new / seconds, 1),
            }
            write_json(folder / "summary.json", summary)
            return dataset.fingerprint

        return (
            digest(asdict(config), self.subject.agent.spec.fingerprint, asdict(self.subject.spec)),
            [folder / "summary.json", folder / "meta.json"],
            work,
        )

    def _dataset(self) -> StateDataset:
        return StateDataset.open(self.config.output / "collect")

    def _train(self) -> tuple[str, list[Path], Callable[[], str]]:
        config, folder = self.config.train, self.config.output / "train"

        def work() -> str:
            dataset = self._dataset()
            trained, _ = self._split(dataset)
            if len(trained):  # or the training says what is wrong
                answers = recorded_outputs(dataset, trained)
                for target in self._resolved(dataset):
                    measure_scale(target, answers)  # raises before hours of training, not after
            make_folder(folder)
            made_for = f"{self._fingerprint('collect')} {self.config.saliency}"
            with progress_bar("saliency") as tell:
                maps = maps_for(made_for, self.subject.perceive, dataset, folder, lambda done, total: tell(done / total, ""))
            held = self._measured(dataset)
            with progress_bar("train") as tell:
                train(
                    self.subject.perceive, dataset, maps, config, folder,
                    measures=lambda model: fidelity(model, self.subject.perceive, dataset, held).line(),
                    progress=tell,
                )  # fmt: skip
            return file_digest(folder / "model.safetensors")

        outputs = [folder / name for name in ("model.safetensors", "model.json")]
        settings = all_settings(recipe(config.recipe))
        key = digest(asdict(config), self.config.saliency, *settings, self._fingerprint("collect"))
        return key, outputs, work

    def _split(self, dataset: StateDataset) -> tuple[np.ndarray, np.ndarray]:
        """Whole states that are trained on, and those that are held out."""
        trained, held = dataset.split(self.config.train.held_out)
        return with_history(dataset, trained), with_history(dataset, held)

    def _measured(self, dataset: StateDataset) -> np.ndarray:
        held = self._split(dataset)[1]
        count = min(self.config.analyse.held_out, len(held))
        if not count:
            raise ConfigError(
                f"no state is held out of {len(dataset):,}",
                expected="at least one whole state a stream that is not trained on",
                todo="collect more frames in fewer streams, or raise --train.held-out",
            )
        return held[np.linspace(0, len(held) - 1, count).astype(int)]

    def _model(self) -> StateModel:
        precision = resolve(self.config.train.precision, self.subject.agent.device)
        return load(self.config.output / "train" / "model.safetensors", self.subject.agent.device, precision)

    def _made_up_answer(self) -> AgentOutput:
        return self.subject.perceive(noise_state(self.subject.spec, self.subject.agent.device))

    def _slugs_checked(self) -> list[str]:
        """The folder of every target; tries each on one answer, so that a bad one is told before long work."""
        answer = self._made_up_answer()
        slugs: dict[str, str] = {}
        for name in self.targets:
            target = resolve_target(name, self.subject.agent.spec, 1.0)
            target(answer)
            if target.slug in slugs:
                raise ConfigError(
                    f"targets {slugs[target.slug]!r} and {name!r} would share the folder {target.slug}",
                    expected="each target once",
                    todo="leave one out, or rename the function or its file",
                )
            slugs[target.slug] = name
        return list(slugs)

    def _resolved(self, dataset: StateDataset) -> list[Target]:
        sharpness = sharpness_for(dataset, self.config.sharpness)
        return [resolve_target(name, self.subject.agent.spec, sharpness) for name in self.targets]

    def _synthesize(self) -> tuple[str, list[Path], Callable[[], str]]:
        config, folder = self.config.synthesize, self.config.output / "synthesize"
        key = digest(
            asdict(config), self.targets, self.config.sharpness, self._fingerprint("train"), code_digests(self.targets)
        )

        def work() -> str:
            dataset, model = self._dataset(), self._model()
            train_indices, _ = self._split(dataset)
            answers = recorded_outputs(dataset, train_indices)
            begin: Callable[[Target], SearchDistribution] | None = None
            for target in self._resolved(dataset):
                place = make_folder(folder / target.slug)
                told = place / "findings.json"
                made = place / "findings.npz"
                if made.exists() and told.exists() and json.loads(told.read_text()).get("key") == key:
                    continue
                if begin is None:
                    with progress_bar("candidates") as tell:
                        begin = starts(
                            model, self.subject.perceive, config, lambda indices: as_state(dataset.stacks(indices)),
                            train_indices, lambda done, total, tell=tell: tell(done / total, ""),
                        )  # fmt: skip
                known = measure_scale(target, answers)
                started = time.monotonic()
                with progress_bar(target.name) as tell:
                    found = synthesize(
                        model, self.subject.perceive, target, begin(target), config, known,
                        progress=lambda done, total, tell=tell: tell(done / total, ""),
                    )  # fmt: skip
                told.unlink(missing_ok=True)  # a kill between the two leaves no record of other states
                write_findings(found, self.subject.perceive, self.subject.spec.channels, made)
                write_json(told, {
                    "key": key, "target": target.name, "title": target.title, "description": target.description,
                    "energy_equation": energy_equation(target, known, config),
                    "seed": config.seed, "settings": asdict(config) | asdict(known),
                    "seconds": round(time.monotonic() - started, 1),
                })  # fmt: skip
            return digest([file_digest(folder / t.slug / "findings.npz") for t in self._resolved(dataset)])

        return key, [folder / slug / name for slug in self.slugs for name in ("findings.json", "findings.npz")], work

    def _analyse(self) -> tuple[str, list[Path], Callable[[], str]]:
        config, folder = self.config.analyse, make_folder(self.config.output / "analyse")

        def work() -> str:
            dataset, model = self._dataset(), self._model()
            train_indices, held = self._split(dataset)
            measured = fidelity(model, self.subject.perceive, dataset, self._measured(dataset))
            objects = [recall.record(name) for name, recall in measured.recalls.items()]
            write_json(folder / "recall.json", {"objects": objects})
            write_json(folder / "fidelity.json", measured.line())
            self._write_reconstructions(dataset, model, held, folder / "reconstructions.npz")
            if len(held) >= LEAST_HELD_OUT:
                samples = measure_samples(model, self.subject.perceive, dataset, held)
                write_arrays(folder / "samples.npz", {"states": samples.stacks[: config.samples]})
                write_json(folder / "samples.json", samples.record())
            self._write_novelty(dataset, train_indices, held, folder)
            if config.goggles.episodes:
                with progress_bar("goggles") as tell:
                    scores = goggles(
                        model, self.subject.agent, self.subject.factory, config.goggles,
                        progress=lambda done, total: tell(done / total, f"{done} of {total} episodes"),
                    )  # fmt: skip
                write_json(folder / "goggles.json", scores.record(config.goggles.seed))
            return digest(measured.line())

        key = digest(asdict(config), self._fingerprint("synthesize"))
        outputs = [folder / name for name in ("fidelity.json", "recall.json", "reconstructions.npz")]
        if len(self._split(self._dataset())[1]) >= LEAST_HELD_OUT:
            outputs += [folder / name for name in ("samples.npz", "samples.json")]
        outputs += [folder / slug / "novelty.npz" for slug in self.slugs]
        outputs += [folder / "goggles.json"] if config.goggles.episodes else []
        return key, outputs, work

    def _write_reconstructions(self, dataset: StateDataset, model: StateModel, held: np.ndarray, path: Path) -> None:
        count = min(self.config.analyse.reconstructions, len(held))
        chosen = np.sort(np.random.default_rng([0, 3]).choice(held, count, replace=False))
        state = as_state(dataset.stacks(chosen)).to(model.device)
        with torch.no_grad():
            reconstructed = model.reconstruct(state)
            before, after = self.subject.perceive(state), self.subject.perceive(reconstructed)
        bounds = self.subject.agent.spec.action_bounds
        arrays = {
            "real": dataset.stacks(chosen),
            "reconstructed": as_stacks(reconstructed.cpu(), dataset.environment.channels),
            "saliency": saliency_image(saliency(self.subject.perceive, state)),
            "scores_real": before.scores.cpu().numpy(),
            "scores_reconstructed": after.scores.cpu().numpy(),
            "same_action": same_action(before.scores, after.scores, bounds).cpu().numpy(),
            "index": chosen,
        }
        write_arrays(path, arrays)

    def _write_novelty(
        self, dataset: StateDataset, train_indices: np.ndarray, held: np.ndarray, folder: Path, retrieved: int = 8
    ) -> None:
        targets = self._resolved(dataset)
        states = []
        for target in targets:
            states.append(found_states(self.config.output / "synthesize" / target.slug / "findings.npz"))
        with progress_bar("novelty") as tell:
            near = closest(np.concatenate(states), dataset, train_indices, lambda done, total: tell(done / total, ""))
        ends = np.cumsum([len(part) for part in states])
        for target, stop, part in zip(targets, ends, states, strict=True):
            rows = slice(stop - len(part), stop)
            wanted = target(recorded_outputs(dataset, train_indices)).numpy()
            best = select_spaced(train_indices[np.argsort(wanted)], dataset.stream, dataset.time, retrieved, GAP)
            arrays = {
                "closest": near.stacks[rows], "closest_index": near.index[rows], "mse": near.mse[rows],
                "differing_share": near.differing_share[rows],
                "real_target": target(recorded_outputs(dataset, held)).numpy(),
                "retrieved": dataset.stacks(best), "retrieved_target": target(recorded_outputs(dataset, best)).numpy(),
            }  # fmt: skip
            write_arrays(make_folder(folder / target.slug) / "novelty.npz", arrays)

    def _report(self) -> tuple[str, list[Path], Callable[[], str]]:
        output = self.config.output / "report.html"

        def work() -> str:
            write_json(self.config.output / "report.json", self._overview())
            build_report(self.config.output, output)
            return file_digest(output)

        return digest(self._fingerprint("analyse"), version("weakspot")), [output], work

    def _overview(self) -> dict[str, Any]:
        spec, environment = self.subject.agent.spec, self.subject.spec
        records = self.folder.records()
        return {
            "title": f"Weak spots of {spec.name}",
            "command": command_line(self.config),
            "versions": _versions(records),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": {name: record.seconds for name, record in records.items() if name != "report"},
            "notes": [],
            "environment": asdict(environment),
            "agent": asdict(spec) | {"card": self._card()},
        }

    def _card(self) -> dict[str, Any] | None:
        """What is known of the agent's score, where its file tells."""
        path = zoo.path(self.config.agent) if self.config.agent in zoo.names() else Path(self.config.agent).expanduser()
        if path.suffix != ".safetensors":
            return None
        metadata = read_weights(path)[1]
        if METADATA_KEY not in metadata:
            return None
        card = read_card(metadata, str(path))
        try:
            return {
                "score_mean": card.score["mean"], "score_std": card.score["std"], "episodes": card.score["episodes"],
                "steps": card.training["policy_steps"], "algorithm": card.training["algorithm"],
                "trained by": card.training["command"],
            }  # fmt: skip
        except KeyError:  # a card may say nothing of either
            return None


def _versions(records: Mapping[str, StageRecord]) -> dict[str, str]:
    """The version of each package; where stages were made by different ones, each with its stages."""
    told = {}
    for name, now in versions().items():
        stages: dict[str, list[str]] = {}
        for stage, record in records.items():
            if stage != "report":
                stages.setdefault(record.versions.get(name, now), []).append(stage)
        stages.setdefault(now, [])
        stages[now].append("report")
        several = ", ".join(f"{made_by} ({', '.join(made)})" for made_by, made in stages.items())
        told[name] = now if len(stages) == 1 else several
    return told


def command_line(config: RunConfig) -> str:
    """The command that repeats a run, with the settings that are not the defaults."""
    plain, default = asdict(config), asdict(RunConfig())
    words = ["weakspot", "run"]

    def walk(given: dict[str, Any], usual: dict[str, Any], prefix: str) -> None:
        for name, value in given.items():
            if isinstance(value, dict):
                walk(value, usual[name], f"{prefix}{name}.")
            elif isinstance(value, bool) and value != usual[name]:
                words.append(f"--{prefix}{'' if value else 'no-'}{name.replace('_', '-')}")
            elif value != usual[name]:
                values = value if isinstance(value, (list, tuple)) else [value]
                words.extend([f"--{prefix}{name.replace('_', '-')}", *(str(v) for v in values)])

    walk(plain, default, "")
    return shlex.join(words)

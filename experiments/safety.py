"""How agents drive: metres, reward and collisions per kilometre, among reasonable, distracted and no pedestrians.

    python -m experiments.safety --agents runs/a2c-drivesemantic64-0/agent.safetensors --output docs/driving

Draws people hit and collisions per kilometre among each kind, of agents and of full throttle (figure 6 of the paper, in
numbers).

Beside each agent drive one that takes random actions and one that always gives throttle.  Every driver has the same
episodes, by their seeds.  Intervals are at 95 %: of means by the bootstrap over episodes, of rates for Poisson counts, of an
agent's rates over another driver's for two of them.

Of agents it is also told how probable it is that they brake, and what their critic expects, by what they see when they
decide: somebody on their path or near it, a car on it, a red light, or nothing of that.

What one driver did among one kind of pedestrians is kept in ``--output`` until all is done: the same command goes on after a
kill.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lab import page
from lab.arguments import at_least
from lab.figures import save
from lab.page import interval, put_into
from weakspot.agents.base import Agent, AgentOutput, choose
from weakspot.agents.load import load_agent
from weakspot.analysis.objects.driving import seen
from weakspot.envs.driving.env import ACTIONS, PEDESTRIANS
from weakspot.envs.driving.environment import DriveEnvironment
from weakspot.envs.driving.sensors import Camera
from weakspot.envs.driving.world import CAUSES, SECONDS, STATE_VERSION
from weakspot.errors import ConfigError
from weakspot.intervals import bootstrap_mean, bootstrap_ratio, poisson_rate, poisson_ratio
from weakspot.system.files import make_folder, write_json
from weakspot.system.process import exit_code
from weakspot.system.progress import progress_bar, say
from weakspot.system.provenance import digest, file_digest

CONSTANT = ("THROTTLE",)
FEWEST = 5
"""Episodes in which something must have been seen, for a mean with an interval."""
BRAKE = list(ACTIONS).index("BRAKE")
SEEN = (
    "person on the path, no car on it, no red light",
    "person near the path, no car on it, no red light",
    "nothing in the way",
    "red light",
    "car on the path",
    "person on the path",
)
"""What the page tells the agents' answers to."""
COLLISIONS = ("pedestrian", "car", "building", "tree")


@dataclass(frozen=True)
class Decision:
    """What a driver does.

    Attributes:
        action: its number.
        brake: how probable it is that he brakes; None of drivers that see nothing.
        value: what his critic expects, or None.
    """

    action: int
    brake: float | None = None
    value: float | None = None


@dataclass(frozen=True)
class Answers:
    """An agent's answers in an episode to what shows the same.

    Attributes:
        decisions: how many there are.
        brake: sum of the probabilities that it brakes.
        value: sum of what its critic expects, or None.
    """

    decisions: int
    brake: float
    value: float | None


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes:
        metres: driven.
        reward: in all.
        seconds: it lasted.
        cause: of its end; ``time`` where its time was over.
        answers: by what the driver sees, of those who see something.
    """

    metres: float
    reward: float
    seconds: float
    cause: str
    answers: dict[str, Answers] = field(default_factory=dict)


Driver = Callable[[np.ndarray], Decision]
"""Takes an observation (c, h, w) and decides."""


def agent_driver(agent: Agent, seed: int) -> Driver:
    """The agent as it acts by its spec."""
    generator = torch.Generator().manual_seed(seed)

    def act(observation: np.ndarray) -> Decision:
        with torch.inference_mode():
            answer = agent(torch.from_numpy(observation[None]).to(agent.device, torch.float32))
            action = int(choose(answer, agent.spec, generator)[0])
            return Decision(action, _brake(agent, answer), None if answer.value is None else float(answer.value[0]))

    return act


def _brake(agent: Agent, answer: AgentOutput) -> float:
    """How probable it is that the agent brakes; where its scores are no probabilities, whether that is the best action."""
    if agent.spec.scores_are == "log-probabilities":
        return float(answer.scores[0].softmax(dim=0)[BRAKE])
    return float(answer.scores[0].argmax() == BRAKE)


def random_driver(seed: int) -> Driver:
    generator = np.random.default_rng(seed)
    return lambda observation: Decision(int(generator.integers(len(ACTIONS))))


def constant_driver(name: str) -> Driver:
    number = list(ACTIONS).index(name)
    return lambda observation: Decision(number)


def episodes(driver: Driver, environment: str, pedestrians: str, count: int, first_seed: int) -> list[Episode]:
    """``count`` episodes in an environment, each from its own seed."""
    made = DriveEnvironment(environment, pedestrians=pedestrians).env
    driven = []
    for seed in range(first_seed, first_seed + count):
        observation, info = made.reset(seed=seed)
        metres = total = 0.0
        pictures, decisions = [], []
        while True:
            decisions.append(driver(observation))
            if decisions[-1].brake is not None:
                pictures.append(made.view().classes)
            observation, reward, terminated, truncated, info = made.step(decisions[-1].action)
            metres, total = metres + info["metres"], total + reward
            if terminated or truncated:
                break
        told = answered(np.stack(pictures), decisions, made.camera) if pictures else {}
        driven.append(Episode(metres, total, made.world.state.decisions * SECONDS, info["cause"], told))
    return driven


def answered(classes: np.ndarray, decisions: list[Decision], camera: Camera) -> dict[str, Answers]:
    """An agent's answers to pictures of classes (n, h, w), by what they show."""
    brake = np.array([decision.brake for decision in decisions], np.float64)
    value = np.array([decision.value for decision in decisions], np.float64)  # NaN without a critic
    return {
        name: Answers(
            int(there.sum()), float(brake[there].sum()), None if np.isnan(value).any() else float(value[there].sum())
        )
        for name, there in seen(classes, camera).reasons().items()
    }


def by_what_is_seen(driven: list[Episode]) -> dict[str, Any]:
    """Mean probability of braking and mean value, each with its interval over the episodes in which something was seen; None
    where those are fewer than ``FEWEST``."""
    told = {}
    for name in driven[0].answers:
        parts = [episode.answers[name] for episode in driven if episode.answers[name].decisions]
        told[name] = {
            "decisions": sum(part.decisions for part in parts),
            "episodes": len(parts),
            "brake": _mean([part.brake for part in parts], parts),
            "value": _mean([part.value for part in parts if part.value is not None], parts),
        }
    return told


def _mean(sums: list[float], parts: list[Answers]) -> tuple[float, float, float] | None:
    if len(sums) < FEWEST:
        return None
    return bootstrap_ratio(np.array(sums), np.array([part.decisions for part in parts]), np.random.default_rng(0))


def summary(driven: list[Episode]) -> dict[str, Any]:
    """Means and ends per kilometre, each with its interval; every end but that of time is a fault."""
    generator = np.random.default_rng(0)
    metres = np.array([episode.metres for episode in driven])
    ends = {cause: sum(episode.cause == cause for episode in driven) for cause in CAUSES}
    kilometres = float(metres.sum()) / 1000
    return {
        "episodes": len(driven),
        "kilometres": round(kilometres, 3),
        "metres": bootstrap_mean(metres, generator),
        "reward": bootstrap_mean(np.array([episode.reward for episode in driven]), generator),
        "seconds": bootstrap_mean(np.array([episode.seconds for episode in driven]), generator),
        "ends": ends,
        "people_hit_per_km": poisson_rate(ends["pedestrian"], kilometres) if kilometres else None,
        "collisions_per_km": poisson_rate(sum(ends[cause] for cause in COLLISIONS), kilometres) if kilometres else None,
        "faults_per_km": poisson_rate(sum(ends.values()), kilometres) if kilometres else None,
        **({"answers": by_what_is_seen(driven)} if driven[0].answers else {}),
    }


@dataclass(frozen=True)
class Drive:
    """One driver among one kind of pedestrians.

    Attributes:
        agent: file of the agent whose environment it is.
        driver: ``agent``, ``random`` or ``always`` with an action's name.
        pedestrians: of what kind.
        count: episodes.
        seed: of the first one.
    """

    agent: str
    driver: str
    pedestrians: str
    count: int
    seed: int

    def __str__(self) -> str:
        return f"{self.driver} of {self.agent} among {self.pedestrians} pedestrians"

    def __call__(self) -> dict[str, Any]:
        """Its :func:`summary`."""
        torch.set_num_threads(1)
        agent = load_agent(self.agent)
        if self.driver == "agent":
            driver = agent_driver(agent, self.seed)
        else:
            driver = random_driver(self.seed) if self.driver == "random" else constant_driver(self.driver.split()[1])
        return summary(episodes(driver, agent.spec.environment, self.pedestrians, self.count, self.seed))


DRIVERS = ("agent", "random", *(f"always {name}" for name in CONSTANT))


def driven(drives: list[Drive], folder: Path, workers: int) -> list[dict[str, Any]]:
    """What drives show, in their order, by ``workers`` processes; what stands in the folder is not driven again."""
    files = [_kept(drive, folder) for drive in drives]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool, progress_bar("drive") as tell:
        under_way = {pool.submit(drives[number]): number for number in missing}
        try:
            for done, future in enumerate(as_completed(under_way), 1):
                number, found = under_way[future], future.result()
                write_json(files[number], found)
                tell(done / len(missing), f"{done} of {len(missing)} drives")
                say(f"{drives[number]}: {found['metres'][0]:.0f} m, ends {found['ends']}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [json.loads(file.read_text()) for file in files]


def _kept(drive: Drive, folder: Path) -> Path:
    return folder / f"drive-{digest(asdict(drive), file_digest(Path(drive.agent)), STATE_VERSION)}.json"


def compared(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The agent's collisions and faults a kilometre over those of each other driver, with intervals."""
    (_, agent), *others = found.items()
    return {
        name: {"collisions_per_km": ratio(agent, other, COLLISIONS), "faults_per_km": ratio(agent, other, CAUSES)}
        for name, other in others
    }


def by_kind(found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Of each driver: people hit a kilometre among reasonable ones over those among distracted ones."""
    told: dict[str, dict[str, Any]] = {}
    for name, each in found.items():
        both = zip(each["reasonable"].items(), each["distracted"].values(), strict=True)
        told[name] = {driver: ratio(here, there, ("pedestrian",)) for (driver, here), there in both}
    return told


def ratio(one: dict[str, Any], other: dict[str, Any], causes: tuple[str, ...]) -> tuple[float, float, float] | None:
    """How often a kilometre of one ends by one of the causes over how often one of the other does, with the interval; None
    where one of them has not moved, or the other one never ended so."""
    if not (one["kilometres"] and other["kilometres"]):
        return None
    count, others = (sum(found["ends"][cause] for cause in causes) for found in (one, other))
    return poisson_ratio(count, one["kilometres"], others, other["kilometres"])


def tables(told: dict[str, Any]) -> dict[str, str]:
    """What ``safety.json`` says, as tables in Markdown, by their names on the page."""
    return {
        "drivers": drivers_table(told["agents"]),
        "drivers compared": compared_table(told["agents"], told["ratios"]),
        "answers": answers_table(told["agents"]),
    }


def drivers_table(agents: dict[str, Any]) -> str:
    """How far each driver comes and what he hits; the drivers that are no agents once, since they drive the same for all."""
    lines, known = [], set()
    for each in agents.values():
        for pedestrians, drivers in each.items():
            for driver in [driver for driver in drivers if (driver, pedestrians) not in known]:
                known.add((driver, pedestrians))
                found = drivers[driver]
                rates = (interval(found[rate], 2) for rate in ("people_hit_per_km", "collisions_per_km", "faults_per_km"))
                lines.append((_named(driver), pedestrians, interval(found["metres"], 0), *rates))
    return page.table(
        ("driver", "pedestrians", "metres an episode", "people hit per km", "collisions per km", "faults per km"), lines
    )


def compared_table(agents: dict[str, Any], ratios: dict[str, Any]) -> str:
    """Rates of the agents over those of the others."""
    lines = []
    for name, each in ratios.items():
        for pedestrians, found in each.items():
            agent = next(iter(agents[name][pedestrians]))
            full, random = found["always THROTTLE"], found["random"]
            over = (full["collisions_per_km"], full["faults_per_km"], random["collisions_per_km"])
            lines.append((_named(agent), pedestrians, *(interval(ratio, 2) for ratio in over)))
    return page.table(
        (
            *("agent", "pedestrians", "collisions per km over those of full throttle", "faults per km over those"),
            "collisions per km over those of random actions",
        ),
        lines,
    )


def answers_table(agents: dict[str, Any]) -> str:
    """How probable it is that agents brake, and what their critics expect, by what they see."""
    lines = []
    for each in agents.values():
        agent = next(iter(each["reasonable"]))
        for reason in SEEN:
            cells = [_named(agent), reason]
            for pedestrians in ("reasonable", "distracted"):
                found = each[pedestrians][agent]["answers"][reason]
                cells += [f"{found['decisions']:,}", interval(found["brake"], 2), interval(found["value"])]
            lines.append(tuple(cells))
    return page.table(
        (
            *("agent", "what it sees", "decisions among reasonable people", "brakes", "critic"),
            *("decisions among distracted ones", "brakes", "critic"),
        ),
        lines,
    )


def _named(driver: str) -> str:
    return {"random": "random actions", "always THROTTLE": "always full throttle"}.get(driver, f"`{driver}`")


def drawn(told: dict[str, Any], path: Path) -> None:
    """Rates per kilometre of the driver that is named first, an agent, among each kind of pedestrians, and beside them those
    of the constant ones."""
    figure = Figure(figsize=(7.0, 2.9), layout="constrained")
    names = [next(iter(next(iter(told.values())))), *(f"always {name}" for name in CONSTANT)]
    for axes, (rate, title) in zip(
        figure.subplots(1, 2), (("people_hit_per_km", "people hit"), ("collisions_per_km", "all collisions")), strict=True
    ):
        for number, name in enumerate(names):
            for row, pedestrians in enumerate(told):
                found = told[pedestrians].get(name, {}).get(rate)
                if found is None:
                    continue  # it has not moved at all
                mean, low, high = found
                progress_bar = {
                    "label": name if row == 0 else None,
                    "color": f"C{number}",
                    "capsize": 4,
                    "fmt": "os^"[number % 3],
                }
                axes.errorbar(mean, row + 0.2 * number - 0.1, xerr=[[mean - low], [high - mean]], **progress_bar)
        kinds = list(told) if rate == "people_hit_per_km" else []
        axes.set(yticks=range(len(told)), yticklabels=kinds, ylim=(len(told) - 0.5, -0.5))
        axes.set(xlabel=f"{title} per kilometre", xlim=(0, None))
        axes.grid(axis="x", alpha=0.3)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", nargs="+", required=True, help="agent files")
    parser.add_argument("--episodes", type=at_least(1), default=100)
    parser.add_argument("--seed", type=at_least(0), default=30_000_000, help="of the first episode")
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes that drive")
    parser.add_argument("--output", type=Path, default=Path("runs/safety"))
    parser.add_argument("--page", type=Path, help="Markdown whose tables are replaced")
    told = parser.parse_args()
    named = {f"{Path(path).parent.name}/{Path(path).name}": path for path in told.agents}
    if len(named) < len(told.agents):
        raise ConfigError(
            "agent files of the same name in folders of the same name",
            expected="another name for each, since results are told apart by it",
            todo="rename a folder, or measure them with another --output",
        )
    output = make_folder(told.output)
    drives = [
        Drive(path, driver, pedestrians, told.episodes, told.seed)
        for path, pedestrians, driver in itertools.product(named.values(), PEDESTRIANS, DRIVERS)
    ]
    results = iter(driven(drives, output, told.workers))
    found: dict[str, Any] = {}
    for name, path in named.items():
        drivers = (load_agent(path).spec.name, *DRIVERS[1:])
        found[name] = {pedestrians: dict(zip(drivers, results, strict=False)) for pedestrians in PEDESTRIANS}
    versions = {name: importlib.metadata.version(name) for name in ("embreex", "numpy", "torch")}
    settings = {"episodes": told.episodes, "seed": told.seed, "town_version": STATE_VERSION, "versions": versions}
    ratios = {name: {pedestrians: compared(each[pedestrians]) for pedestrians in each} for name, each in found.items()}
    result = {"settings": settings, "agents": found, "ratios": ratios, "reasonable_over_distracted": by_kind(found)}
    write_json(output / "safety.json", result)
    for name, each in found.items():
        drawn(each, output / f"safety-{Path(name).with_suffix('').as_posix().replace('/', '-')}.png")
    if told.page:
        for name, table in tables(result).items():
            put_into(told.page, name, table)
    for drive in drives:
        _kept(drive, output).unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))

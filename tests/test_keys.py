"""The keys of results: for each setting, the stages that run again when it changes, and those that do not."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from tiny_run import HERE, TINY

from weakspot.commands import parse
from weakspot.config import RunConfig
from weakspot.errors import MismatchError
from weakspot.pipeline import Pipeline
from weakspot.session import Session
from weakspot.stages.graph import STAGES
from weakspot.stages.train import TrainStage
from weakspot.state_model.config import TrainConfig

SEARCH = ("synthesize", "ground", "confirm", "novelty", "report")
COLLECTION = ("collect", "saliency", "train", "fidelity", "samples", "goggles", *SEARCH)
SALIENCY, MODEL = COLLECTION[1:], COLLECTION[2:]
TWINS, ROLLOUTS = ("ground", "confirm", "report"), ("confirm", "report")
CASES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "agent": (f"{HERE / 'tiny_agent.py'}:another_pong", ("subject", *COLLECTION)),
    "trust": (True, ("report",)),  # the record of the same agent is the same
    "targets": (("T-", "NOOP"), SEARCH),
    "sharpness": (5.0, SEARCH),
    "saliency": ("gradient", SALIENCY),
    "collect.frames": (480, COLLECTION),
    "collect.epsilon": (0.5, COLLECTION),
    "collect.streams": (3, COLLECTION),
    "collect.seed": (1, COLLECTION),
    "collect.snapshot_every": (50, COLLECTION),
    "collect.shard_steps": (60, COLLECTION),
    "train.recipe": ("fast", MODEL),
    "train.recipe_settings": (("code=16",), MODEL),
    "train.minutes": (9.0, MODEL),
    "train.clock": ("processor", MODEL),
    "train.prior_share": (0.4, MODEL),
    "train.steps": (7, MODEL),
    "train.prior_steps": (3, MODEL),
    "train.batch_size": (9, MODEL),
    "train.seed": (1, MODEL),
    "train.held_out": (0.2, MODEL),
    "train.checkpoint_every": (5.0, ("report",)),  # the report shows the command
    "train.measure_every": (5.0, ("report",)),
    "train.measured": (50, ("report",)),
    "train.workers": (2, MODEL),
    "train.precision": ("bfloat16" if TrainConfig().cpu_format == "float32" else "float32", MODEL),
    "fidelity.held_out": (100, ("fidelity", "report")),
    "fidelity.reconstructions": (4, ("fidelity", "report")),
    "fidelity.worst": (2, ("fidelity", "report")),
    "samples.shown": (6, ("samples", "report")),
    "goggles.episodes": (3, ("goggles", "report")),
    "goggles.longest": (50, ("goggles", "report")),
    "goggles.epsilon": (0.2, ("goggles", "report")),
    "goggles.seed": (1, ("goggles", "report")),
    "policy_values.tau": (0.5, ("report",)),  # of an agent that has action values
    "policy_values.gamma": (0.9, ("report",)),
    "overconfidence.horizon": (60, ("report",)),
    "overconfidence.gamma": (0.9, ("report",)),  # of a run with that target
    "synthesize.preset": ("paper", SEARCH),
    "synthesize.states": (4, SEARCH),
    "synthesize.searches": (2, SEARCH),
    "synthesize.ahead": (2.0, SEARCH),
    "synthesize.steps": (4, SEARCH),
    "synthesize.learning_rate": (0.1, SEARCH),
    "synthesize.optimizer": ("gradient-descent", SEARCH),
    "synthesize.regulariser": (0.01, SEARCH),
    "synthesize.start": ("prior", SEARCH),
    "synthesize.candidates": (32, SEARCH),
    "synthesize.kept": (0.9, SEARCH),
    "synthesize.enough": ("never", SEARCH),
    "synthesize.softness": (0.2, SEARCH),
    "synthesize.start_sigma": (0.2, SEARCH),
    "synthesize.patience": (2, SEARCH),
    "synthesize.tolerance": (0.1, SEARCH),
    "synthesize.seed": (1, SEARCH),
    "ground.states": (2, TWINS),
    "ground.trials": (30, TWINS),
    "ground.steps": (9, TWINS),
    "ground.value": (0.5, TWINS),
    "ground.usual": (0.9, TWINS),
    "ground.seed": (1, TWINS),
    "confirm.controls": (5, ROLLOUTS),
    "confirm.rollouts": (3, ROLLOUTS),
    "confirm.first": (3, ROLLOUTS),
    "confirm.horizon": (11, ROLLOUTS),
    "confirm.holds": ((2, 4), ROLLOUTS),
    "confirm.losing": (3, ROLLOUTS),
    "confirm.probes": (0, ROLLOUTS),
    "confirm.what_ifs": (0, ROLLOUTS),
    "confirm.epsilon": (0.5, ROLLOUTS),
    "confirm.gamma": (0.9, ROLLOUTS),
    "confirm.outcome": (f"{HERE / 'outcomes.py'}:total", ROLLOUTS),
    "confirm.reference": (f"{HERE / 'tiny_agent.py'}:another_pong", ROLLOUTS),
    "confirm.seed": (1, ROLLOUTS),
    "report.size": ("small", ("report",)),
}
NOT_IN_THE_TABLE = {"output", "store", "environment", "device"}
"""Settings of the place of results, and settings with separate tests."""


def tiny(folder: Path) -> RunConfig:
    return parse(RunConfig, "run", [*TINY, "--output", str(folder)])


def changed(config: RunConfig, name: str, value: Any) -> RunConfig:
    section, dot, field = name.partition(".")
    if not dot:
        return replace(config, **{name: value})
    return replace(config, **{section: replace(getattr(config, section), **{field: value})})


def stages_of(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition("/")[0] for name in names))


def setting_names(settings: dict[str, Any], prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, value in settings.items():
        names |= setting_names(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"}
    return names


def test_the_table_has_every_setting():
    assert setting_names(asdict(RunConfig())) == set(CASES) | NOT_IN_THE_TABLE


@pytest.mark.parametrize("name", CASES)
def test_changed_setting_reruns_only_the_stages_that_depend_on_it(finished_run, tmp_path, name):
    value, expected = CASES[name]
    config = replace(tiny(tmp_path / "run"), store=finished_run / "store")
    assert Pipeline(config).plan() == []
    plan = Pipeline(changed(config, name, value)).plan()
    assert stages_of(plan) == tuple(stage for stage in expected if stage != "subject")  # plan() itself runs it


def test_another_kind_of_device_trains_another_model(tmp_path):
    """Batches are larger on CUDA. The index of the device does not matter."""

    def key(device: str) -> Mapping[str, Any]:
        return TrainStage().key(Session(replace(tiny(tmp_path), device=device), {}), "")

    assert key("cpu") != key("cuda") == key("cuda:1")


def test_another_environment_needs_another_subject(finished_run, tmp_path):
    config = replace(tiny(tmp_path / "run"), store=finished_run / "store")
    with pytest.raises(MismatchError):  # the agent is loaded and checked again
        Pipeline(replace(config, environment="breakout")).plan()


def test_another_target_keeps_the_results_of_the_others(finished_run, tmp_path):
    config = replace(tiny(tmp_path / "run"), store=finished_run / "store", targets=("LEFT", "T-", "T+"))
    assert Pipeline(config).plan() == ["synthesize/t-plus", "ground/t-plus", "confirm", "novelty/t-plus", "report"]


def test_keys_depend_on_the_code_that_a_target_imports(finished_run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from helper import factor\ndef dark(output):\n    return output.scores.sum(1) * factor"
    )
    (tmp_path / "helper.py").write_text("factor = 1.0")
    config = replace(tiny(tmp_path / "run"), store=finished_run / "store", targets=(f"{tmp_path / 'mine.py'}:dark",))
    first = Pipeline(config)
    own = ["synthesize/own-mine-dark", "ground/own-mine-dark", "confirm", "novelty/own-mine-dark", "report"]
    assert first.plan() == own
    keys = [first.request(name).key for name in ("synthesize/own-mine-dark", "collect")]
    (tmp_path / "helper.py").write_text("factor = 2.0")
    second = Pipeline(config)
    second.plan()
    again = [second.request(name).key for name in ("synthesize/own-mine-dark", "collect")]
    assert keys[0] != again[0] and keys[1] == again[1]


def test_functions_whose_names_differ_in_case_are_different_targets(finished_run, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def f(output):\n    return output.scores.sum(1)\ndef F(output):\n    return -output.scores.sum(1)\n")
    keys = []
    for name in ("f", "F"):
        pipeline = Pipeline(replace(tiny(tmp_path / "run"), store=finished_run / "store", targets=(f"{path}:{name}",)))
        pipeline.plan()
        keys.append(pipeline.request("synthesize/own-mine-f").key)
    assert keys[0] != keys[1]


def test_changed_code_of_the_environment_reruns_the_collection(finished_run, tmp_path, monkeypatch):
    config = replace(tiny(tmp_path / "run"), store=finished_run / "store")
    monkeypatch.setattr("weakspot.stages.subject.code_digests", lambda names: [f"another {name}" for name in names])
    assert stages_of(Pipeline(config).plan()) == COLLECTION


def test_a_report_needs_neither_the_agent_nor_torch():
    assert [stage.name for stage in STAGES if not stage.needs_agent] == ["report"]


def test_changed_defaults_of_recipes_need_another_version_of_the_train_stage():
    """Keys contain the name of a recipe, not its defaults: a change of the defaults must raise the version of the stage."""
    from weakspot.state_model.recipes import all_settings, recipe
    from weakspot.system.provenance import digest

    names = ("fast", "fast-gaussian", "paper", "paper-attentive", "paper-vae")
    settings = digest([all_settings(recipe(name)) for name in names])
    assert (TrainStage.version, settings) == (5, "c9d779f32786ee5f")


def test_the_automatic_number_format_is_that_of_the_machine(tmp_path):
    """A machine that computes in another format makes results of its own."""

    def key(**train):
        session = Session(RunConfig(output=tmp_path, train=TrainConfig(**train)), {})
        return TrainStage().key(session, "")

    automatic = TrainConfig().cpu_format
    assert key() == key(precision=automatic)
    assert key() != key(precision="float32" if automatic == "bfloat16" else "bfloat16")

"""Targets: signs, limits, gradients, names, custom targets, and targets of other packages."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import third_party
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import LinearAgent

from weakspot.agents.base import AgentOutput, AgentSpec
from weakspot.errors import ExtensionError, TargetError, UnknownTargetError
from weakspot.targets import names
from weakspot.targets.base import Target
from weakspot.targets.check import check_target
from weakspot.targets.names import canonical_name
from weakspot.targets.paper import softmax_value, softmin_value
from weakspot.targets.resolve import default_targets, resolve_target

NAMES = ["T-", "T+", "T+-", "T±", "S+", "S-", "A1", "V+", "V-"]
SPEC = LinearAgent().spec

scores = st.lists(st.floats(-5, 5), min_size=2, max_size=6).map(lambda q: torch.tensor([q], dtype=torch.float64))


def energy(name, q, value=0.0, sharpness=30.0):
    output = AgentOutput(torch.tensor([q]), torch.tensor([value]))
    return resolve_target(name, SPEC, sharpness)(output).item()


@given(scores, st.floats(0.01, 50))
def test_the_soft_maximum_lies_between_mean_and_maximum_and_grows_with_sharpness(q, sharpness):
    soft, softer = softmax_value(q, sharpness).item(), softmax_value(q, sharpness / 2).item()
    assert q.mean().item() - 1e-9 <= softer <= soft + 1e-9 <= q.max().item() + 2e-9
    assert math.isclose(softmin_value(q, sharpness).item(), -softmax_value(-q, sharpness).item())


@pytest.mark.parametrize(
    ("name", "matching", "other"),
    [
        ("T-", [-3.0, -3.0, -3.0], [-9.0, -9.0, 1.0]),  # even the best action is worth little
        ("T+", [2.0, 2.0, 2.0], [9.0, 9.0, 1.0]),  # even the worst action is worth much
        ("T+-", [-1.0, 0.0, 4.0], [4.0, 4.0, 4.0]),  # the choice matters
        ("S+", [1.0, 1.0, 1.0], [5.0, -5.0, 0.0]),
        ("S-", [-1.0, -1.0, -1.0], [5.0, -5.0, 0.0]),
        ("A1", [9.0, 1.0, 9.0], [0.0, 0.0, 0.0]),
    ],
)
def test_matching_states_have_lower_energy(name, matching, other):
    assert energy(name, matching) < energy(name, other)


def test_critic_targets_depend_only_on_the_value():
    assert energy("V+", [0.0, 0.0, 0.0], 2.0) < energy("V+", [9.0, 9.0, 9.0], 1.0)
    assert energy("V-", [0.0, 0.0, 0.0], 1.0) < energy("V-", [-9.0, 0.0, 0.0], 2.0)


def test_targets_match_the_paper_in_the_limit_of_high_sharpness():
    q = [1.0, -2.0, 0.5]
    assert energy("T-", q, sharpness=1e3) == pytest.approx(max(q))
    assert energy("T+", q, sharpness=1e3) == pytest.approx(-min(q))
    assert energy("T+-", q, sharpness=1e3) == pytest.approx(min(q) - max(q))
    assert energy("T±", q) == energy("T+-", q)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_match_finite_differences(name):
    target = resolve_target(name, SPEC, 2.0)
    q = torch.tensor([[0.3, -0.7, 0.9], [1.0, 0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([0.4, -0.2], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q, v: target(AgentOutput(q, v)), (q, value))


def test_error_for_an_unknown_target_lists_the_targets_and_suggests_one():
    with pytest.raises(UnknownTargetError, match=r"(?s)one of T-, T\+.*A0, A1, A2.*did you mean"):
        resolve_target("A11", SPEC, 1.0)


def test_critic_target_without_a_critic_raises_an_error():
    with pytest.raises(TargetError, match="needs a critic"):
        resolve_target("V-", SPEC, 1.0)(AgentOutput(torch.zeros(1, 3)))


def test_custom_target(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def unsure(output):\n    '''Scores close together.'''\n    return output.scores.var(dim=1)\n")
    target = resolve_target(f"{path}:unsure", SPEC, 1.0)
    assert (target.slug, target.description) == ("own-mine-unsure", "Scores close together.")
    assert target(AgentOutput(torch.tensor([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]]))).tolist() == pytest.approx([0.0, 3.0])


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def f(output):\n    return output.scores", r"returned \(2, 3\) for 2 states"),
        ("def f(output):\n    return output.scores.sum()", r"returned \(\) for 2 states"),
        ("def f(output):\n    return 1.0", "returned float"),
        ("def f(output):\n    return output.value.mean(1)", r"(?s)AttributeError.*scores \(2, 3\), value None"),
        ("def f(output):\n    return output.scores.sum(dim=1).log()", "returned -?(nan|inf)"),
    ],
)
def test_target_with_an_invalid_return_value_is_refused(tmp_path, source, error):
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(TargetError, match=error):
        resolve_target(f"{path}:f", SPEC, 1.0)(AgentOutput(-torch.ones(2, 3)))


def test_target_files_may_import_neighbours_and_be_in_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "neighbour_of_mine.py").write_text("WEIGHT = 2.0\n")
    (tmp_path / "mine.py").write_text(
        "from neighbour_of_mine import WEIGHT\ndef f(output):\n    return WEIGHT * output.scores.sum(dim=1)\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_target("~/mine.py:f", SPEC, 1.0)(AgentOutput(torch.ones(1, 3))).tolist() == [6.0]


def test_missing_or_broken_files_and_functions_are_refused(tmp_path):
    path = tmp_path / "own.py"
    with pytest.raises(UnknownTargetError, match=r"no file .*own\.py"):
        resolve_target(f"{path}:f", SPEC, 1.0)
    path.write_text("def one(output):\n    return 0\n")
    with pytest.raises(UnknownTargetError, match="no function 'two'; it has one"):
        resolve_target(f"{path}:two", SPEC, 1.0)
    path.write_text("1 / 0\n")
    with pytest.raises(TargetError, match="ZeroDivisionError"):
        resolve_target(f"{path}:one", SPEC, 1.0)


# Names, without torch


WHEEL = AgentSpec(
    "car", "toy", ("steer", "on/off"), (12, 4, 4), "means", "greedy", "car", action_bounds=((-1.0, 1.0), (0.0, 1.0))
)


@pytest.mark.parametrize("spec", [SPEC, WHEEL], ids=["discrete", "continuous"])
def test_names_and_slugs_match_those_of_the_targets(spec):
    found = names.target_names(spec.action_names, spec.continuous)
    targets = [resolve_target(name, spec, 1.0) for name in found]
    assert [names.slug_of(name, spec.action_names, spec.continuous) for name in found] == [target.slug for target in targets]
    assert [target.name.replace("±", "+-") for target in targets] == list(found)
    assert len({target.slug for target in targets}) == len(found)


def test_slugs():
    expected = {"t±": "t-plus-minus", "T+-": "t-plus-minus", "t-": "t-minus", "a1": "action-a1", "v+": "v-plus"}
    expected |= {"~/my targets/Mine.py:Not_Sure": "own-mine-not-sure"}
    assert {name: names.slug_of(name, SPEC.action_names, False) for name in expected} == expected
    assert names.slug_of("ON/OFF-", WHEEL.action_names, True) == "action-on-off-down"


def test_an_action_takes_precedence_over_a_symbol():
    actions = ("T-", "noop", "NOOP")
    spec = AgentSpec("odd", "toy", actions, (12, 4, 4), "q-values", "greedy", "odd")
    for name, index in (("T-", 0), ("noop", 1), ("NOOP", 2), ("Noop", 1)):
        scores = torch.tensor([[5.0, 7.0, 9.0]])
        assert resolve_target(name, spec, 1.0)(AgentOutput(scores)).item() == -scores[0, index].item()
    assert names.slug_of("t-", actions, False) == "action-t-"
    assert names.canonical_name("Noop", actions, False) == "noop"


def test_default_targets():
    assert names.default_target_names(SPEC.action_names, "q-values", True) == ("T-", "T+", "T+-")
    ends = ("steer+", "steer-", "on/off+", "on/off-")
    assert names.default_target_names(WHEEL.action_names, "means", True) == ("V+", "V-", *ends)
    assert names.default_target_names(WHEEL.action_names, "means", False) == ends
    assert default_targets(WHEEL, AgentOutput(torch.zeros(1, 2))) == ends
    assert default_targets(WHEEL, AgentOutput(torch.zeros(1, 2), torch.zeros(1))) == ("V+", "V-", *ends)


def test_discrete_targets_are_refused_for_continuous_actions():
    for resolve in (lambda: names.slug_of("T-", WHEEL.action_names, True), lambda: resolve_target("T-", WHEEL, 1.0)):
        with pytest.raises(UnknownTargetError, match=r"(?s)one of V\+.*value for each action"):
            resolve()


def test_names_do_not_need_torch():
    code = "import sys, weakspot.targets.names; sys.exit('torch' in sys.modules)"
    stub = "import sys, types; p = types.ModuleType('weakspot'); p.__path__ = [sys.argv[1]]; sys.modules['weakspot'] = p; "
    folder = Path(names.__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", stub + code, str(folder)], check=False).returncode == 0


# Targets of other packages


UNSURE = """
def unsure(output):
    '''Scores close together.

    More words.
    '''
    return output.scores.var(dim=1)

def nonsense(output):
    return output.scores

not_a_function = 3
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    entry_points = {"unsure": "unsure", "T-": "unsure", "bad": "nonsense", "number": "not_a_function", "gone": "missing"}
    registry = third_party.install(tmp_path, monkeypatch, names.TARGETS, entry_points, UNSURE)
    monkeypatch.setattr(names, "TARGETS", registry)


def test_a_target_of_another_package(installed):
    target = resolve_target("Unsure", SPEC, 1.0)
    assert (target.name, target.slug, target.description) == ("unsure", "own-unsure", "Scores close together.")
    assert names.slug_of("unsure", SPEC.action_names, False) == "own-unsure"
    assert target(AgentOutput(torch.tensor([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]]))).tolist() == pytest.approx([0.0, 3.0])
    assert "unsure" in names.target_names(SPEC.action_names, False)
    assert "unsure" in names.target_names(WHEEL.action_names, True)
    assert "unsure" not in names.default_target_names(WHEEL.action_names, "means", True)


def test_another_package_cannot_replace_a_symbol(installed):
    assert resolve_target("T-", SPEC, 1.0).slug == names.slug_of("T-", SPEC.action_names, False) == "t-minus"


def test_broken_targets_of_other_packages(installed):
    with pytest.raises(UnknownTargetError, match="did you mean unsure"):
        resolve_target("unsur", SPEC, 1.0)
    with pytest.raises(TargetError, match=r"'bad' returned \(2, 3\) for 2 states"):
        resolve_target("bad", SPEC, 1.0)(AgentOutput(torch.ones(2, 3)))
    with pytest.raises(ExtensionError, match=r"'number' of weakspot\.targets is int"):
        resolve_target("number", SPEC, 1.0)
    with pytest.raises(ExtensionError, match="AttributeError"):
        resolve_target("gone", SPEC, 1.0)


@pytest.mark.parametrize(
    "energy",
    [lambda output: output.scores.argmax(dim=1).float(), lambda output: output.scores.detach().sum(dim=1),
     lambda output: (output.scores > 0).float().mean(dim=1)],
)  # fmt: skip
def test_a_target_without_gradient_is_refused_before_anything_is_computed(energy):
    output = AgentOutput(torch.randn(2, 3, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(TargetError, match="cannot be differentiated"):
        check_target(Target("mine", "own-mine", "mine", "", "", energy), output)


def test_targets_of_scores_or_of_the_value_alone_are_accepted():
    output = AgentOutput(torch.zeros(2, 3), torch.zeros(2))
    for energy in (
        lambda output: output.scores.sum(dim=1),
        lambda output: output.value,
        lambda o: o.scores.sum(1).clamp(min=5),
    ):
        check_target(Target("mine", "own-mine", "mine", "", "", energy), output)


def test_a_file_without_a_function_says_how_to_name_one():
    with pytest.raises(UnknownTargetError, match=r"name a function in the file as well: mine\.py:FUNCTION"):
        canonical_name("mine.py", ("LEFT",), False)

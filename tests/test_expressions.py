"""Targets as expressions: grammar, values, gradients, errors, and their use in a run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import LinearAgent

from weakspot.agents.base import AgentOutput
from weakspot.errors import TargetError, UnknownTargetError
from weakspot.targets import grammar
from weakspot.targets.names import canonical_name, slug_of
from weakspot.targets.resolve import resolve_target

SPEC = LinearAgent().spec  # actions A0, A1, A2
ACTIONS = SPEC.action_names
POLICY = replace(SPEC, scores_are="log-probabilities")
Q = torch.tensor([[0.3, -0.7, 0.9], [1.0, 0.2, 0.1]], dtype=torch.float64)
V = torch.tensor([0.4, -0.2], dtype=torch.float64)

EXPRESSIONS = {
    'q["A1"] - max(q)': lambda q: q[1] - max(q),
    "q['a0'] / 2 + 3": lambda q: q[0] / 2 + 3,
    "-V^2 * 2": None,
    "2^-q[0]": lambda q: 2 ** -q[0],
    "-(max(q) - second(q))": lambda q: -(max(q) - sorted(q)[-2]),
    "std(q - avg(q))": lambda q: np.std(q),
    "sum(abs(q * q[2]))": lambda q: sum(abs(x * q[2]) for x in q),
    "logsumexp(q)": lambda q: math.log(sum(math.exp(x) for x in q)),
    "max(q[0], q[1], 0.25) - min(q[0], .5)": lambda q: max(q[0], q[1], 0.25) - min(q[0], 0.5),
    "tanh(q[0]) * sigmoid(q[1]) + relu(q[1]) + exp(-q[2]) + log(sqrt(q[2]^2 + 1))": lambda q: (
        math.tanh(q[0]) / (1 + math.exp(-q[1])) + max(q[1], 0) + math.exp(-q[2]) + math.log(math.sqrt(q[2] ** 2 + 1))
    ),
    "1 - 2 - 3 + 0 * q[0]": lambda q: -4.0,
    "8 / 4 / 2 + 0 * q[0]": lambda q: 1.0,
    "2 ^ 3 ^ 2 + 0 * q[0]": lambda q: 512.0,
    "-2 ^ 2 + 0 * q[0]": lambda q: -4.0,
    "1e-3*q[0]": lambda q: 1e-3 * q[0],
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_values_and_gradients_of_expressions(text: str) -> None:
    target = resolve_target(text, SPEC, 1.0)
    energy = target(AgentOutput(Q, V))
    if (by_hand := EXPRESSIONS[text]) is not None:
        assert energy.tolist() == pytest.approx([by_hand(row) for row in Q.tolist()])
    else:
        assert energy.tolist() == pytest.approx([-2 * v**2 for v in V.tolist()])
    inputs = (Q.clone().requires_grad_(), V.clone().requires_grad_())
    step = 1e-6
    gradients = torch.autograd.grad(target(AgentOutput(*inputs)).sum(), inputs, allow_unused=True, materialize_grads=True)
    for which, gradient in enumerate(gradients):
        for index in np.ndindex(*gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [Q.clone(), V.clone()]
                moved[which][index] += sign * step
                ends.append(target(AgentOutput(*moved)).sum().item())
            assert gradient[index].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6)


def test_rows_of_policies_and_of_continuous_actions() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0]])
    p = torch.softmax(logits, dim=1)[0]
    output = AgentOutput(logits)
    assert resolve_target('p["A1"]', POLICY, 1.0)(output).item() == pytest.approx(p[1].item())
    assert resolve_target("logp[2] * 1", POLICY, 1.0)(output).item() == pytest.approx(math.log(p[2]))
    entropy = -(p * p.log()).sum().item()
    assert resolve_target("-entropy(p)", POLICY, 1.0)(output).item() == pytest.approx(-entropy)
    certain = torch.tensor([[0.0, -1e9, -1e9]])
    assert resolve_target("entropy(p)", POLICY, 1.0)(AgentOutput(certain)).item() == 0
    spec = replace(SPEC, scores_are="means", action_bounds=((-1.0, 1.0),) * 3)
    assert resolve_target('abs(mean["A0"])', spec, 1.0)(AgentOutput(-logits)).item() == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('q["A9"] - max(q)', r"no action 'A9', at character 3"),
        ("q[7]", r"a number from 0 to 2"),
        ("q - max(q)", r"one number for each action"),
        ("max(q", r"the end of the text"),
        ("max(q))", r"after the end"),
        ("max(q[0])", r"max of 1 argument \(number\)"),
        ("sum(q, q)", r"sum of 2 arguments"),
        ("import(q)", r"there is no 'import'"),
        ("A1 * 2", r"write q\[\"A1\"\] for an action"),
        ("q.__class__[0]", r"the character '\.'"),
        ("__import__('os').system('true')", r"there is no '__import__'"),
        ("(lambda)(q)", r"there is no 'lambda'"),
        ("q[0] ** 2", r"'\*'"),
        ("", None),
        ("(" * 60 + "q[0]" + ")" * 60, r"levels of nesting"),
        ("-" * 60 + "q[0] * 1", r"signs in a row"),
        ("q[0]" + "+q[0]" * 200, r"an expression of 1004 characters"),
        ('q["A1', r"the character"),
    ],
)
def test_errors_of_expressions_say_where(text: str, message: str | None) -> None:
    with pytest.raises(UnknownTargetError, match=message) as caught:
        resolve_target(text, SPEC, 1.0)
    assert caught.value.expected


def test_outputs_that_an_agent_does_not_have_are_refused() -> None:
    with pytest.raises(TargetError, match="is a constant"):
        resolve_target("(1 + 2)", SPEC, 1.0)
    with pytest.raises(TargetError, match="uses q, and the scores of this agent are log-probabilities"):
        resolve_target("max(q)", POLICY, 1.0)
    with pytest.raises(TargetError, match="has no critic"):
        resolve_target("V * 2", SPEC, 1.0)(AgentOutput(Q))
    with pytest.raises(TargetError, match="returned nan"):
        resolve_target("log(q[1])", SPEC, 1.0)(AgentOutput(Q))


def test_expressions_have_one_name_however_they_are_written() -> None:
    written = [" q[1]-max( q ) ", 'q["A1"] - max(q)', "((q['a1'])) - (max(q))"]
    assert {canonical_name(text, ACTIONS, False) for text in written} == {'q["A1"] - max(q)'}
    slugs = {slug_of(text, ACTIONS, False) for text in written}
    assert len(slugs) == 1
    assert slugs == {resolve_target(written[0], SPEC, 1.0).slug}
    assert slug_of("q[1] - max(q) * 2", ACTIONS, False) not in slugs
    assert grammar.expression_slug('q["A1"] - max(q)').startswith("expression-q-a1-max-q-")
    hostile = ('"]<b>', "A", "A")
    assert canonical_name("q[0] + q[2]", hostile, False) == "q[0] + q[2]"


leaves = st.sampled_from(["q[0]", 'q["A1"]', "V", "2", "0.5", "max(q)", "second(q)"])
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"),
        inner.map(lambda text: f"-({text})"),
        st.tuples(inner, inner).map(lambda parts: f"max({parts[0]}, {parts[1]})"),
        inner.map(lambda text: f"(abs({text}) + 1) ^ 0.5"),
    ),
    max_leaves=8,
)


@given(trees)
def test_text_of_a_tree_means_the_same_as_the_tree(text: str) -> None:
    tree = grammar.parse(text, ACTIONS)
    again = grammar.write(tree, ACTIONS)
    assert grammar.parse(again, ACTIONS) == tree
    assert grammar.write(grammar.parse(again, ACTIONS), ACTIONS) == again


@given(st.text(max_size=30))
def test_any_text_is_a_target_or_a_clear_error(text: str) -> None:
    try:
        tree = grammar.parse(text, ACTIONS)
    except UnknownTargetError as error:
        assert error.expected
    else:
        assert grammar.parse(grammar.write(tree, ACTIONS), ACTIONS) == tree

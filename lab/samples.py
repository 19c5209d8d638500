"""Random samples and reconstructions of a state model, compared with real states."""

from __future__ import annotations

from typing import Any

from weakspot.analysis.classifier_test import classifier_accuracy
from weakspot.analysis.samples import compare_samples, draw_samples
from weakspot.session import Session
from weakspot.types import State


def random_states(session: Session, count: int) -> State:
    """``count`` random samples of the state model (n, kc, h, w)."""
    return draw_samples(session.model, count)


def comparison_record(session: Session, states: State, real: State) -> dict[str, Any]:
    """States (n, kc, h, w) compared with twice as many real ones (2n, kc, h, w): the distance in the agent's features, the
    object checks, and the accuracy of a classifier between them and the first n real ones."""
    record = compare_samples(states, real, session.perceive, session.dataset.environment).record()
    return record | {"telling_accuracy": round(classifier_accuracy(real[: len(states)], states), 4)}

"""The settings that determine a target over recorded states, which the keys of all stages about targets contain."""

from __future__ import annotations

from typing import Any

from weakspot.references import code_digests
from weakspot.session import Session
from weakspot.targets.names import TARGETS


def target_key(session: Session, part: str) -> dict[str, Any]:
    """The target with its code, ``--sharpness``, and the split into training and held-out states."""
    config, target = session.config, session.targets[part]
    return {
        "target": session.target_names[part],
        "code": code_digests([target]),
        "provider": TARGETS.provider(target),
        "sharpness": config.sharpness,
        "split": config.train.held_out,
    }

"""Stage: load the agent and its environment, check them against each other, and record their specifications."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from weakspot.agents.reference import files_of
from weakspot.artifacts.subject import SUBJECT, write_subject
from weakspot.references import code_digests
from weakspot.session import Session
from weakspot.stages.stage import Stage
from weakspot.system.provenance import digest, file_digest, public_version, source_digest
from weakspot.system.registry import Registry

PACKAGES = ("ale-py", "gymnasium")
"""Packages that provide environments."""
SOURCES = ("agents", "envs", "saliency")
"""Parts of weakspot whose code is in the key. The stage takes seconds, and later stages run again only if the record
changes."""
EXTENSIONS = ("weakspot.agent_formats", "weakspot.environments")
"""Entry point groups of the packages that may provide the agent and the environment."""


class SubjectStage(Stage):
    """Loads the agent, creates its environment, and checks them against each other."""

    name: ClassVar[str] = "subject"
    inputs: ClassVar[tuple[str, ...]] = ()
    quick: ClassVar[bool] = True

    def key(self, session: Session, part: str) -> Mapping[str, Any]:
        """The agent's files and code, the environment, and the versions of the packages that load them.

        If the files of an agent are not known before it is loaded, as with ``path.py:factory``, it is loaded for its
        fingerprint.
        """
        config = session.config
        files = files_of(config.agent, trust=config.trust)
        agent = session.subject.agent.spec.fingerprint if files is None else [file_digest(path) for path in files]
        return {
            "agent": config.agent,
            "files": agent,
            "environment": config.environment,
            "code": code_digests([config.agent, config.environment or ""]),
            "trust": config.trust,
            "saliency": config.saliency,
            "packages": _package_versions(),
            "sources": source_digest(*SOURCES),
            "extensions": _installed_extensions(),
        }

    def outputs(self, session: Session, part: str) -> tuple[str, ...]:
        """The record."""
        return (SUBJECT,)

    def work(self, session: Session, part: str, folder: Path) -> str:
        """See :func:`weakspot.subject.load_subject`."""
        from weakspot.subject import record_of

        write_subject(folder, record_of(session.subject))
        environment = session.config.environment or session.subject.agent.spec.environment
        record, code = file_digest(folder / SUBJECT), code_digests([environment])
        return digest(record, _providers(session), code, _package_versions())


def _package_versions() -> dict[str, str]:
    return {name: public_version(name) for name in PACKAGES}


def _installed_extensions() -> list[str]:
    """The installed packages that add agent formats or environments, with their versions; imports none of them."""
    registries: list[Registry[object]] = [Registry(group, {}) for group in EXTENSIONS]
    return sorted({registry.provider(name) for registry in registries for name in registry.names()})


def _providers(session: Session) -> list[str]:
    """The packages, with their versions, that provide the agent's format and the environment; empty for built-in ones.

    Their results may change with their version although the record stays the same.
    """
    from weakspot.agents.formats.registry import FORMATS, format_for
    from weakspot.envs.family import FAMILIES, family_of

    config = session.config
    agent_format = format_for(config.agent, config.trust)
    family = family_of(config.environment or session.subject.agent.spec.environment)
    providers = {FORMATS.provider(agent_format.name) if agent_format else "", FAMILIES.provider(family)}
    return sorted(providers - {""})

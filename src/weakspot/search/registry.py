"""All methods by name, including those of other packages (entry point group ``weakspot.methods``).

    [project.entry-points."weakspot.methods"]
    genetic = "their_package.search:GeneticSearch"

An entry point is a function or class that is called without arguments and returns a
:class:`~weakspot.search.method.Method` with its default settings.  Listing the names imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from weakspot.errors import ExtensionError
from weakspot.system.registry import Registry

if TYPE_CHECKING:
    from weakspot.search.method import Method

METHODS: Registry[Callable[[], Method]] = Registry(
    "weakspot.methods",
    {
        "algorithm-1": "weakspot.search.algorithm_1:AlgorithmOne",
        "retrieval": "weakspot.search.retrieval:Retrieval",
        "highlights": "weakspot.search.highlights:Highlights",
        "highlights-div": "weakspot.search.highlights:HighlightsDiv",
        "random-samples": "weakspot.search.random_samples:RandomSamples",
        "random-search": "weakspot.search.random_search:RandomSearch",
        "memory-search": "weakspot.search.memory_search:MemorySearch",
        "activation-maximization": "weakspot.search.activation_maximization:ActivationMaximization",
        "deep-image-prior": "weakspot.search.deep_image_prior:DeepImagePrior",
        "denoising-prior": "weakspot.search.denoising_prior:DenoisingPrior",
    },
)
"""Name to factory of every method."""


def load_method(name: str) -> Method:
    """The method ``name`` with its default settings.

    Raises:
        ExtensionError: there is no such method, or the package that provides it is broken.
    """
    from weakspot.search.method import Method

    try:
        method = cast(object, METHODS.load(name)())
    except ExtensionError:
        raise
    except Exception as error:  # a third-party factory can raise anything
        raise ExtensionError(
            f"method {name!r} cannot be made: {type(error).__name__}: {error}",
            expected="a function or class without required arguments",
            todo="update or remove the package that provides it",
        ) from error
    if not isinstance(method, Method):
        raise ExtensionError(
            f"{name!r} of {METHODS.group} returned {type(method).__name__}",
            expected="a method: an object with a name, called with sources, target, count and seed",
            todo="update or remove the package that provides it",
        )
    return method

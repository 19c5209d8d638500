"""The search methods that experiments compare."""

from __future__ import annotations

from lab.arguments import ExperimentArguments
from weakspot.search.activation_maximization import ActivationMaximization
from weakspot.search.algorithm_1 import AlgorithmOne, clear_candidate_cache
from weakspot.search.deep_image_prior import DeepImagePrior
from weakspot.search.denoising_prior import DenoisingPrior
from weakspot.search.highlights import Highlights, HighlightsDiv
from weakspot.search.method import Method, SearchResult, Sources
from weakspot.search.pixel_regularisers import REGULARISERS, Plain, SobolevGradient
from weakspot.search.random_samples import RandomSamples
from weakspot.search.random_search import RandomSearch
from weakspot.search.retrieval import Retrieval
from weakspot.targets.base import Target


def algorithm_1(arguments: ExperimentArguments) -> Method:
    """Algorithm 1 with the settings of the arguments."""
    return AlgorithmOne(arguments.search)


def run_uncached(method: Method, sources: Sources, target: Target, count: int, seed: int) -> SearchResult:
    """A search that draws its own candidates, so that its time does not depend on earlier searches."""
    clear_candidate_cache()
    return method(sources, target, count, seed)


def retrieval() -> Method:
    """The best recorded states."""
    return Retrieval()


def random_samples() -> Method:
    """Random samples of the state model."""
    return RandomSamples()


def activation_maximisation(steps: int) -> list[Method]:
    """Activation maximisation in pixels, once with each regulariser of section 4.6, and through an untrained network."""
    return [*(ActivationMaximization(regulariser, steps) for regulariser in REGULARISERS), DeepImagePrior(steps)]


def denoising_prior() -> Method:
    """Descent in latent space with a denoiser of the latents."""
    return DenoisingPrior()


def alternatives(passes: int, pixel_steps: int) -> list[Method]:
    """What a user could do instead of Algorithm 1.

    Args:
        passes: through the state model that random search may use, as many as Algorithm 1 used.
        pixel_steps: of activation maximisation.
    """
    return [
        Retrieval(),
        Highlights(),
        HighlightsDiv(),
        RandomSamples(),
        RandomSearch(passes),
        ActivationMaximization(Plain(), pixel_steps),
        ActivationMaximization(SobolevGradient(), pixel_steps),
        DeepImagePrior(pixel_steps),
        DenoisingPrior(),
    ]

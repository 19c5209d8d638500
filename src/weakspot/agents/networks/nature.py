"""The networks of stable-baselines3's ``CnnPolicy``, with the convolutions of Mnih et al. 2015 (NatureCNN)."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

KERNELS, STRIDES = (8, 4, 3), (4, 2, 1)
"""Kernel sizes and strides of the three convolutions."""


class NatureCnn(nn.Module):
    """Three convolutions and one layer: images (b, c, h, w) to features (b, features).

    Args:
        widths: channels of the image, and of each convolution.
        flat: number of outputs of the last convolution, flattened.
        features: number of features.
    """

    def __init__(self, widths: tuple[int, int, int, int], flat: int, features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, kernel, stride in zip(widths, widths[1:], KERNELS, STRIDES, strict=False):
            layers += [nn.Conv2d(inputs, outputs, kernel, stride), nn.ReLU()]
        self.cnn = nn.Sequential(*layers, nn.Flatten())
        self.linear = nn.Sequential(nn.Linear(flat, features), nn.ReLU())
        self.features = features

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(self.cnn(image))


class CombinedFeatures(nn.Module):
    """The features of an image beside other entries of an observation, as in stable-baselines3's ``CombinedExtractor``.

    Args:
        images: the convolutions.
        names: of the entries, in the order of their features.
        image: name of the image among them.

    Attributes:
        other_entries: the names without that of the image.
    """

    def __init__(self, images: NatureCnn, names: tuple[str, ...], image: str) -> None:
        super().__init__()
        self.images, self.names, self.image = images, names, image
        self.other_entries = tuple(name for name in names if name != image)

    def forward(self, image: Tensor, entries: dict[str, Tensor]) -> Tensor:
        return torch.cat([self.images(image) if name == self.image else entries[name] for name in self.names], dim=1)


Features: TypeAlias = NatureCnn | CombinedFeatures
"""Maps images, or images and other entries of an observation, to features."""


class QNetwork(nn.Module):
    """Q-values (b, a): the output of the head, or its mean over the quantiles of QR-DQN.

    Args:
        features: of the image, which may take other entries as well.
        head: features (b, n) to (b, quantiles * a).
        scale: observations are divided by it.
        actions: number of actions.
    """

    def __init__(self, features: Features, head: nn.Module, scale: float, actions: int) -> None:
        super().__init__()
        self.features, self.head, self.scale, self.actions = features, head, scale, actions
        self.other_entries = _other_entries(features)

    def forward(self, observation: Tensor, *entries: dict[str, Tensor]) -> Tensor:
        output = self.head(self.features(observation / self.scale, *entries))
        return output.unflatten(1, (-1, self.actions)).mean(dim=1)


class ActorCritic(nn.Module):
    """Action logits, or means of continuous actions, (b, a) and values (b, 1).

    Args:
        features: of the actor, which may take other entries beside the image.
        critic_features: of the critic; None if it shares the actor's.
        actor: features to logits or means.
        critic: features to values.
        scale: observations are divided by it.
    """

    def __init__(
        self, features: Features, critic_features: Features | None, actor: nn.Module, critic: nn.Module, scale: float
    ) -> None:
        super().__init__()
        self.features, self.critic_features = features, critic_features
        self.actor, self.critic, self.scale = actor, critic, scale
        self.other_entries = _other_entries(features)

    def forward(self, observation: Tensor, *entries: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        image = observation / self.scale
        features = self.features(image, *entries)
        others = self.critic_features(image, *entries) if self.critic_features else features
        return self.actor(features), self.critic(others)


def _other_entries(features: Features) -> tuple[str, ...]:
    return features.other_entries if isinstance(features, CombinedFeatures) else ()

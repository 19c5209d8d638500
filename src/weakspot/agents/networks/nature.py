"""The networks of stable-baselines3's ``CnnPolicy``, with the convolutions of Mnih et al. 2015 (NatureCNN)."""

from __future__ import annotations

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

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(self.cnn(image))


class QNetwork(nn.Module):
    """Q-values (b, a): the output of the head, or its mean over the quantiles of QR-DQN.

    Args:
        features: the convolutions.
        head: features (b, n) to (b, quantiles * a).
        scale: observations are divided by it.
        actions: number of actions.
    """

    def __init__(self, features: NatureCnn, head: nn.Module, scale: float, actions: int) -> None:
        super().__init__()
        self.features, self.head, self.scale, self.actions = features, head, scale, actions

    def forward(self, observation: Tensor) -> Tensor:
        output = self.head(self.features(observation / self.scale))
        return output.unflatten(1, (-1, self.actions)).mean(dim=1)


class ActorCritic(nn.Module):
    """Action logits, or means of continuous actions, (b, a) and values (b, 1).

    Args:
        features: the convolutions of the actor.
        critic_features: the convolutions of the critic; None if it shares the actor's.
        actor: features to logits or means.
        critic: features to values.
        scale: observations are divided by it.
    """

    def __init__(
        self, features: NatureCnn, critic_features: NatureCnn | None, actor: nn.Module, critic: nn.Module, scale: float
    ) -> None:
        super().__init__()
        self.features, self.critic_features = features, critic_features
        self.actor, self.critic, self.scale = actor, critic, scale

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        image = observation / self.scale
        features = self.features(image)
        return self.actor(features), self.critic(self.critic_features(image) if self.critic_features else features)

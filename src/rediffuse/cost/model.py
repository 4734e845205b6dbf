"""The cost model: what training and sampling take if nothing but the network's passes took time.

    training ≈ N · B · (1 + κ) · F / rate        sampling ≈ S · B · F / rate

N optimiser steps of B images; F, FLOPs of one forward pass of one image; κ, what a backward pass costs in forward
passes; S evaluations of the network for each of B images; rate, FLOP/s measured on forward passes of the same network
at the same batch size. Noise, loss, optimiser, average of the weights and samplers' arithmetic are left out: the ratio
of measured to predicted seconds shows what they take.
"""

from dataclasses import dataclass

from rediffuse.errors import UserError


@dataclass(frozen=True)
class CostModel:
    """The cost of one network on one machine.

    flops: F; kappa: κ; training_rate, sampling_rate: FLOP/s of forward passes in training and without gradients.
    """

    flops: int
    kappa: float
    training_rate: float
    sampling_rate: float

    @classmethod
    def measured(
        cls, flops: int, kappa: float, training: tuple[int, float], sampling: tuple[int, float]
    ) -> "CostModel":
        """From F, κ and (batch size, seconds of one forward pass) of training and of sampling.

        Raises:
            UserError: a number is not positive.
        """
        for name, value in (("flops", flops), ("kappa", kappa), ("training", training[1]), ("sampling", sampling[1])):
            if not value > 0:
                raise UserError(f"cost model: {name} is {value}; it must be above 0")
        rates = [batch * flops / seconds for batch, seconds in (training, sampling)]
        return cls(flops, kappa, *rates)

    def training_seconds(self, steps: int, batch: int, *, checkpointing: bool = False) -> float:
        """Of `steps` optimiser steps; activation checkpointing makes the forward pass once more."""
        passes = 1 + self.kappa + (1 if checkpointing else 0)
        return steps * batch * passes * self.flops / self.training_rate

    def sampling_seconds(self, evaluations: int, images: int) -> float:
        """Of `images` images, each of which the network sees `evaluations` times (twice a step under guidance)."""
        return evaluations * images * self.flops / self.sampling_rate

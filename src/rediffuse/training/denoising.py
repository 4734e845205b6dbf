"""A network that learns from noisy images: a denoiser, or a classifier that has to tell classes through noise."""

import contextlib
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from rediffuse.diffusion.objectives import Losses
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import derive_seed, generator
from rediffuse.diffusion.timesteps import make_timestep_sampler
from rediffuse.errors import UserError
from rediffuse.hardware import Hardware
from rediffuse.models.conditioning import drop_labels
from rediffuse.training.adam import Adam
from rediffuse.training.batches import Batches
from rediffuse.training.held_out import HeldOutLoss
from rediffuse.training.history import Interval, Row
from rediffuse.training.learning_rate import learning_rate
from rediffuse.training.objective import TrainingObjective
from rediffuse.training.options import TrainingConfig
from rediffuse.training.replay import Replayed

Images = np.ndarray | Tensor
CPU = Hardware()


class Denoising:
    """Network, optimiser and sampler of t, and the objective they serve; see `rediffuse.training.loop.Learner`.

    Args:
        network: called as network(x, t) or network(x, t, y); its initial weights are the caller's.
        images: uint8 [N, C, H, W]; labels: int64 [N], or None.
        held_out, held_out_labels: images for `held_out_loss`, which is then a column of the history.

    Raises:
        UserError: images, labels or options do not fit together.
    """

    def __init__(
        self,
        network: nn.Module,
        process: DiffusionProcess,
        objective: TrainingObjective,
        images: Images,
        labels: Images | None,
        config: TrainingConfig,
        seed: int,
        hardware: Hardware = CPU,
        *,
        held_out: Images | None = None,
        held_out_labels: Images | None = None,
    ) -> None:
        self.process, self.objective, self.config, self.seed, self.hardware = process, objective, config, seed, hardware
        self.device = torch.device(hardware.device)
        self.batches = Batches(
            images,
            labels,
            batch_size=config.batch_size,
            seed=seed,
            flip=config.flip,
            channels_last=hardware.channels_last,
            device=self.device,
        )
        self.network = network.to(self.device).train()
        if hardware.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.null_label = getattr(network, "null_label", None)
        if config.label_dropout > 0 and labels is not None and self.null_label is None:
            raise UserError("label_dropout needs a network with a null label; set num_classes or label_dropout to 0")
        self.compiled = torch.compile(self.network, dynamic=False) if hardware.compile else self.network
        self.parameters = list(self.network.parameters())
        # Checkpointing looks at the state of the random generators on the device, which no recording can.
        recorded = self.device.type == "cuda" and not any(getattr(m, "checkpointing", False) for m in network.modules())
        self.replayed: Replayed[Losses] | None = Replayed(self.parameters) if recorded else None
        self.optimizer = Adam(self.parameters, config.betas)
        self.timesteps = make_timestep_sampler(config.timestep_sampling, process.num_timesteps)
        self.interval = Interval(
            config.log_every,
            config.batch_size,
            process.num_timesteps,
            has_vlb=objective.has_vlb,
            device=self.device,
        )
        self.held_out = None
        if held_out is not None and len(held_out):
            self.held_out = HeldOutLoss(
                process, objective, held_out, held_out_labels, batch_size=config.batch_size, device=self.device
            )

    @property
    def identity(self) -> Any:
        """What it minimises, for the name of a checkpoint."""
        return asdict(self.objective)

    def step(self, step: int) -> None:
        """Optimiser step 0, 1, ...; its randomness is a function of (seed, step)."""
        config = self.config
        images, labels = self.batches(step)
        t, weights = self.timesteps.sample(config.batch_size, generator(self.seed, "timesteps", step))
        noise = torch.randn(
            images.shape, generator=generator(self.seed, "noise", step, device=self.device), device=self.device
        )
        if self.hardware.channels_last:
            noise = noise.contiguous(memory_format=torch.channels_last)
        if labels is not None and config.label_dropout > 0:
            drawn = generator(self.seed, "label dropout", step, device=self.device)
            labels = drop_labels(labels, config.label_dropout, cast(int, self.null_label), drawn)
        self._seed_dropout(derive_seed(self.seed, "dropout", step))

        rate = learning_rate(step, config)
        # Without `non_blocking` each copy would wait until the GPU has done all that it was given before.
        told = t.to(self.device, non_blocking=True), weights.to(self.device, torch.float32, non_blocking=True)
        if self.replayed is None:
            losses = self._backward(images, labels, *told, noise)
        else:
            losses = self.replayed(self._backward, images, labels, *told, noise)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if config.clip_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, config.clip_norm, norm)
        self.optimizer.step(rate)
        self.timesteps.update(t, losses.loss)
        self.interval.record(t, weights, losses, norm, rate)

    def first_bad_step(self) -> tuple[int, str, float] | None:
        """See `Interval.first_bad_step`."""
        return self.interval.first_bad_step()

    def row(self, step: int) -> Row:
        """See `Interval.row`."""
        return self.interval.row(step)

    def held_out_loss(self, network: nn.Module) -> float:
        """The loss of a network in evaluation mode on the held-out images."""
        assert self.held_out is not None
        return self.held_out(network)

    def _backward(self, images: Tensor, labels: Tensor | None, t: Tensor, weights: Tensor, noise: Tensor) -> Losses:
        """Add up the gradient of the batch's mean loss, part by part; the losses of each image, detached."""
        parts = self.config.accumulate
        collected = []
        split_labels = [None] * parts if labels is None else labels.tensor_split(parts)
        for x0, y, times, weight, eps in zip(
            images.tensor_split(parts),
            split_labels,
            t.tensor_split(parts),
            weights.tensor_split(parts),
            noise.tensor_split(parts),
            strict=True,
        ):
            losses = self.objective.losses(self._predict, self.process, x0, times, eps, y)
            ((losses.loss * weight).sum() / self.config.batch_size).backward()
            collected.append(losses)
        vlbs = [losses.vlb.detach() for losses in collected if losses.vlb is not None]
        return Losses(
            torch.cat([losses.loss.detach() for losses in collected]),
            torch.cat([losses.mse.detach() for losses in collected]),
            torch.cat(vlbs) if vlbs else None,
        )

    def _seed_dropout(self, seed: int) -> None:
        # torch.manual_seed seeds every kind of device there could be, at 0.7 ms a call on a machine with none.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _predict(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        bf16 = self.hardware.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
            return self.compiled(x, t, y)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "timesteps": self.timesteps.state_dict(),
            "interval": self.interval.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        for name, value in state.items():
            getattr(self, name).load_state_dict(value)

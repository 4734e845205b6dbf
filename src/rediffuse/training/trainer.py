"""Everything that changes during training, and the one step that changes it."""

import contextlib
from typing import Any, cast

import torch
from torch import Tensor, nn

from rediffuse.diffusion.objectives import Losses
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import derive_seed, generator
from rediffuse.diffusion.timesteps import make_timestep_sampler
from rediffuse.errors import UserError
from rediffuse.models.conditioning import drop_labels
from rediffuse.training.adam import Adam
from rediffuse.training.batches import Batches
from rediffuse.training.ema import ExponentialMovingAverage
from rediffuse.training.history import Interval, Row
from rediffuse.training.learning_rate import learning_rate
from rediffuse.training.objective import TrainingObjective
from rediffuse.training.options import TrainingConfig


class Trainer:
    """Network, average, optimiser, sampler of t and history; `step` counts the steps done."""

    def __init__(
        self,
        model: nn.Module,
        process: DiffusionProcess,
        objective: TrainingObjective,
        batches: Batches,
        config: TrainingConfig,
        seed: int,
        device: str | torch.device,
    ) -> None:
        self.process, self.objective, self.batches = process, objective, batches
        self.config, self.seed, self.device = config, seed, torch.device(device)
        self.model = model.to(self.device).train()
        if config.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.null_label = getattr(model, "null_label", None)
        if config.label_dropout > 0 and batches.labels is not None and self.null_label is None:
            raise UserError("label_dropout needs a network with a null label; set num_classes or label_dropout to 0")
        self.network = torch.compile(self.model, dynamic=False) if config.compile else self.model
        self.ema = ExponentialMovingAverage(self.model, config.ema_decay, warmup=config.ema_warmup)
        self.parameters = list(self.model.parameters())
        self.optimizer = Adam(self.parameters, config.betas)
        self.timesteps = make_timestep_sampler(config.timestep_sampling, process.num_timesteps)
        self.interval = Interval(
            config.log_every,
            config.batch_size,
            process.num_timesteps,
            has_vlb=objective.has_vlb,
            device=self.device,
        )
        self.step = 0
        self.seconds = 0.0
        self.history: list[Row] = []
        self.throughput: list[Row] = []
        self.previews: dict[int, Tensor] = {}
        self.samples: dict[int, dict[str, Tensor]] = {}
        self.sampling_seconds = 0.0

    def advance(self) -> None:
        """One optimiser step; its randomness is a function of (seed, step)."""
        config, step = self.config, self.step
        images, labels = self.batches(step)
        t, weights = self.timesteps.sample(config.batch_size, generator(self.seed, "timesteps", step))
        noise = torch.randn(
            images.shape, generator=generator(self.seed, "noise", step, device=self.device), device=self.device
        )
        if config.channels_last:
            noise = noise.contiguous(memory_format=torch.channels_last)
        if labels is not None and config.label_dropout > 0:
            drawn = generator(self.seed, "label dropout", step, device=self.device)
            labels = drop_labels(labels, config.label_dropout, cast(int, self.null_label), drawn)
        self._seed_dropout(derive_seed(self.seed, "dropout", step))

        rate = learning_rate(step, config)
        losses = self._backward(images, labels, t.to(self.device), weights.to(self.device, torch.float32), noise)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if config.clip_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, config.clip_norm, norm)
        self.optimizer.step(rate)
        self.ema.update()
        self.timesteps.update(t, losses.loss)
        self.interval.record(t, weights, losses, norm, rate)
        self.step += 1

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
        bf16 = self.config.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
            return self.network(x, t, y)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step and the final result depend on."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "timesteps": self.timesteps.state_dict(),
            "interval": self.interval.state_dict(),
            "history": self.history,
            "throughput": self.throughput,
            "previews": self.previews,
            "samples": self.samples,
            "sampling_seconds": self.sampling_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.ema.model.load_state_dict(state["ema"])
        self.ema.updates = state["ema_updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.timesteps.load_state_dict(state["timesteps"])
        self.interval.load_state_dict(state["interval"])
        self.step, self.seconds = state["step"], state["seconds"]
        for name in ("history", "throughput", "previews", "samples", "sampling_seconds"):
            setattr(self, name, state[name])

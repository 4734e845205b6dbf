"""How a one-pass model is trained, apart from what it is."""

from dataclasses import dataclass

from rediffuse.errors import UserError


@dataclass(frozen=True)
class OnePassConfig:
    """Options of `train_one_pass` and of its players.

    steps: of the generator (of the whole model, for a VAE); batch_size: real images in each.
    learning_rate, betas: of Adam.
    critic_steps: steps of the critic for each of the generator (WGAN-GP's n_critic).
    gradient_penalty: weight λ of WGAN-GP's penalty.
    ema_decay: of the average of the weights that is kept; 0 keeps the last weights.
    flip: mirror each real image left to right with probability 1/2.
    log_every: steps in a row of the history.
    preview_steps: steps after which `on_preview` is called.
    checkpoint_every, checkpoint_every_s: steps and seconds between checkpoints.
    """

    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    critic_steps: int = 1
    gradient_penalty: float = 10.0
    ema_decay: float = 0.0
    flip: bool = False
    log_every: int = 100
    preview_steps: tuple[int, ...] = ()
    checkpoint_every: int = 500
    checkpoint_every_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse options that cannot work. Raises UserError naming the option, its value and what is allowed."""
        for name in ("steps", "critic_steps", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.batch_size < 2:
            raise UserError(f"batch_size is {self.batch_size}; it must be at least 2, or a batch has no variance")
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate is {self.learning_rate}; it must be above 0")
        if not self.gradient_penalty >= 0:
            raise UserError(f"gradient_penalty is {self.gradient_penalty}; it must be at least 0")
        if not 0 <= self.ema_decay < 1:
            raise UserError(f"ema_decay is {self.ema_decay}; it must lie between 0 and 1, 1 excluded")
        late = [step for step in self.preview_steps if not 1 <= step <= self.steps]
        if late:
            raise UserError(f"preview_steps has {late}; previews come after steps 1 to {self.steps}")

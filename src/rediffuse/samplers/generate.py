"""Any number of images in bounded memory: batches by index, as uint8, with progress, and none that is not finite."""

from collections.abc import Callable, Iterator

from torch import Tensor

from rediffuse.diffusion.pixels import to_uint8
from rediffuse.errors import UserError


def generate(
    sample: Callable[[Tensor], Tensor],
    indices: Tensor,
    batch_size: int,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    name: str = "sampling",
) -> Iterator[Tensor]:
    """Yield the images of `indices` in order, uint8 [<= batch_size, C, H, W] on the CPU, one batch at a time.

    `sample`: indices [B] (int64) -> x0 [B, C, H, W] in [-1, 1]; it builds its noise and labels from the indices, so
    that an image does not depend on the batch it is made in. `on_progress(done, total)` runs after each batch.
    Raises `UserError` if batch_size < 1, and for a batch that holds NaN or infinity, in a line that begins with `name`.
    """
    if batch_size < 1:
        raise UserError(f"batch_size = {batch_size} is not possible: at least 1 image a batch")
    done = 0
    for batch in indices.split(batch_size):
        x0 = sample(batch)
        try:
            images = to_uint8(x0).cpu()
        except UserError as error:
            raise UserError(f"{name}, images {int(batch[0])} to {int(batch[-1])}: {error}") from None
        done += len(batch)
        if on_progress is not None:
            on_progress(done, len(indices))
        yield images

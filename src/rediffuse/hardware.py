"""What the numbers depend on besides settings and seed: fixed by the study, never detected."""

from typing import Literal

from pydantic import Field

from rediffuse.options import Options, PositiveInt


class Hardware(Options):
    """What the numbers depend on besides the seed: fixed here, never detected."""

    device: Literal["cpu", "cuda"] = Field("cpu", description="where networks run")
    threads: PositiveInt = Field(1, le=1024, description="CPU threads of one job")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="bfloat16 runs forwards under autocast")
    compile: bool = Field(False, description="compile the network with torch.compile")
    channels_last: bool = Field(False, description="keep activations in channels-last memory order")

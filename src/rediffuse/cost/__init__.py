"""What a network costs: parameters, FLOPs, memory, seconds; and what that makes of training and sampling."""

from rediffuse.cost.exact import Exact, exact_cost
from rediffuse.cost.flops import FlopCount, count_flops
from rediffuse.cost.memory import StateBytes, saved_bytes, state_bytes
from rediffuse.cost.model import CostModel
from rediffuse.cost.peak import peak_memory
from rediffuse.cost.scaling import at_side, growth_exponent
from rediffuse.cost.timing import Passes, Spread, interleaved, time_inference, time_passes

__all__ = [
    "CostModel",
    "Exact",
    "FlopCount",
    "Passes",
    "Spread",
    "StateBytes",
    "at_side",
    "count_flops",
    "exact_cost",
    "growth_exponent",
    "interleaved",
    "peak_memory",
    "saved_bytes",
    "state_bytes",
    "time_inference",
    "time_passes",
]

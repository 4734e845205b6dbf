"""What studies at the papers' sizes cost, by the cost model, and how far it is from what is known.

python -m benchmarks.scale.costs

Rates come from results/gpu.json, which benchmarks.scale.gpu measures; everything else that is no count of our own is a
constant with its source here.
"""

import csv
import datetime
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale import RESULTS, record
from benchmarks.scale.networks import NETWORKS

from rediffuse.cost import CostModel, count_flops
from rediffuse.cost.exact import parameter_count
from rediffuse.cost.flops import total
from rediffuse.files import read_json

REPORTS = RESULTS.parents[2] / "reports"


@dataclass(frozen=True)
class Size:
    """A training at a size: of which network, how many steps N of how many images B, and who says so."""

    title: str
    network: str
    steps: int
    batch: int
    source: str


SIZES = (
    Size("CIFAR-10", "ho-cifar10", 800_000, 128, "Ho et al. 2020, appendix B"),
    Size("CelebA 64×64", "celeba64", 300_000, 128, "studies/celeba64.yaml; no source says N for this network"),
    Size("CelebA 64×64, DDIM's network", "ddim-celeba64", 300_000, 128, "N and B as above"),
    Size(
        "ImageNet 64×64",
        "iddpm-imagenet64",
        1_500_000,
        128,
        "Nichol & Dhariwal 2021, README of their code: imagenet64_uncond_100M_1500K",
    ),
)
#: A study: the runs that are compared, and training seeds of each.
RUNS, SEEDS = 2, 3
#: Images scored, as FID is customarily quoted; and the numbers of steps at which they are drawn.
SCORED, STEPS = 50_000, (1000, 50)
#: FLOPs of Inception-v3 on one image: torchvision states 5.713 G multiply-adds (`Inception_V3_Weights`, "_ops").
INCEPTION = 2 * 5.713e9
#: FLOP/s in bfloat16 without sparsity. H100 SXM: NVIDIA's data sheet. TPU v3-8: four chips of 123 TFLOP/s each,
#: Google's page of TPU v3.
H100_PEAK, TPU_PEAK = 989.4e12, 4 * 123e12
#: Ho et al. 2020, appendix B, on a TPU v3-8: steps a second at B = 128; (images, seconds) of sampling at T = 1000.
HO_STEPS_A_SECOND, HO_BATCH, HO_SAMPLED, HO_T = 21, 128, (256, 17), 1000
#: κ where none is measured: a backward pass makes two products where the forward pass makes one.
KAPPA = 2.0
#: Assumed, not measured: what share of n times one GPU's rate n GPUs reach. 8 in one machine, 64 in eight; drawing and
#: scoring share nothing between GPUs.
EFFICIENCY = {1: 1.0, 8: 0.95, 64: 0.85}


def counts() -> dict[str, Any]:
    """F and parameters of each network."""
    return {n: {"flops": total(count_flops(c)).total, "parameters": parameter_count(c)} for n, c in NETWORKS.items()}


def ho(flops: int) -> dict[str, float]:
    """What Ho et al.'s times say of the rate: FLOP/s of training and sampling, and their shares of the peak."""
    images, seconds = HO_SAMPLED
    rates = {
        "training": HO_STEPS_A_SECOND * HO_BATCH * (1 + KAPPA) * flops,
        "sampling": images * HO_T * flops / seconds,
    }
    return rates | {f"share in {what}": rate / TPU_PEAK for what, rate in rates.items()}


def models(counted: dict[str, Any], gpu: dict[str, Any], shares: dict[str, float]) -> dict[str, dict[str, CostModel]]:
    """The cost model of each network on an H100:
    at the rates that were measured, and at Ho et al.'s shares of the peak.
    """
    found: dict[str, dict[str, CostModel]] = {}
    for name, one in counted.items():
        found[name] = {
            way: CostModel.measured(
                one["flops"],
                gpu[way][name]["training"]["kappa"]["median"],
                *(
                    (p["batch"], p["forward"]["median"])
                    for p in (gpu[way][name]["training"], gpu[way][name]["sampling"])
                ),
            )
            for way in ("eager", "compiled")
            if name in gpu[way]
        }
        rates = (shares[f"share in {what}"] * H100_PEAK for what in ("training", "sampling"))
        found[name]["share of Ho et al."] = CostModel(one["flops"], KAPPA, *rates)
    return found


def cost(size: Size, model: CostModel) -> dict[str, Any]:
    """GPU hours of one run on one GPU, and hours of a whole study on several."""
    hours = {"training": model.training_seconds(size.steps, size.batch) / 3600}
    for steps in STEPS:
        hours[f"sampling in {steps}"] = model.sampling_seconds(steps, SCORED) / 3600
    hours["scoring"] = len(STEPS) * SCORED * INCEPTION / model.sampling_rate / 3600
    several = {}
    for gpus, efficiency in EFFICIENCY.items():
        shared = RUNS * SEEDS * (sum(hours.values()) - hours["training"]) / gpus
        several[str(gpus)] = {
            "training of a run": hours["training"] / gpus / efficiency,
            "study": RUNS * SEEDS * hours["training"] / gpus / efficiency + shared,
        }
    return {**asdict(model), "hours": hours, "GPUs": several}


def against(report: Path) -> dict[str, Any]:
    """Measured seconds over predicted ones in a report, and how long after its trainings the rate was measured."""
    rows = list(csv.DictReader((report / "timings/cost-model.csv").open()))
    found: dict[str, Any] = {"κ": sorted({float(row["κ"]) for row in rows if row["κ"] not in ("", "—")})}
    for what in ("training", "sampling"):
        ratios = []
        for row in rows:
            if (row["What"] == "training") == (what == "training"):
                try:
                    ratios.append(float(row["Measured / predicted"]))
                except ValueError:
                    continue
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        found[what] = {"n": len(ratios), "low": low, "median": median, "high": high}
    dates: dict[str, list[float]] = {}
    for row in csv.DictReader((report / "timings/machines.csv").open()):
        dates.setdefault(row["Job"].split("/")[0], []).append(datetime.datetime.fromisoformat(row["Date"]).timestamp())
    found["hours apart"] = (statistics.median(dates["cost"]) - statistics.median(dates["train"])) / 3600
    return found


def main() -> None:
    began, gpu = time.monotonic(), read_json(RESULTS / "gpu.json")
    counted = counts()
    shares = ho(counted["ho-cifar10"]["flops"])
    priced = models(counted, gpu, shares)
    reports = {
        path.parents[1].name: against(path.parents[1]) for path in sorted(REPORTS.glob("*/timings/cost-model.csv"))
    }
    sizes = [
        {**asdict(size), **counted[size.network], "by": {way: cost(size, m) for way, m in priced[size.network].items()}}
        for size in SIZES
    ]
    assumed = {
        "runs": RUNS,
        "seeds": SEEDS,
        "scored": SCORED,
        "steps": STEPS,
        "efficiency": EFFICIENCY,
        "κ": KAPPA,
        "peak": H100_PEAK,
        "TPU peak": TPU_PEAK,
        "inception": INCEPTION,
    }
    known = {"steps a second": HO_STEPS_A_SECOND, "batch": HO_BATCH, "sampled": HO_SAMPLED, "T": HO_T, **shares}
    record("costs", "costs", RESULTS, began, {"assumed": assumed, "ho": known, "sizes": sizes, "reports": reports})


if __name__ == "__main__":
    main()

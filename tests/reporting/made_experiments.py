"""The smoke study with experiments of many kinds, and made-up values of them."""

from pathlib import Path
from typing import Any

import yaml

from rediffuse.reporting import write_ablations
from rediffuse.reporting.experiments.material import Material, conclude
from rediffuse.reporting.read.frames import read_frames
from tests.reporting.study_tree import PROJECT, StudyTree

ASKED: dict[str, dict[str, Any]] = {
    "eta": {"vary": {"sampler": ["ddim"], "sampler.eta": [0, 1], "steps": [5, 10]}, "picture": "line"},
    "few": {"vary": {"sampler": ["ddim"], "sampler.eta": [0, 0.5], "steps": [5, 10]}, "picture": "line"},
    "map": {"vary": {"sampler": ["ddim"], "sampler.eta": [0, 1], "steps": [5, 10]}, "picture": "heat-map"},
    "numbers": {"vary": {"sampler": ["ddim"], "steps": [5, 10]}, "picture": "table"},
    "look": {"vary": {"sampler": ["ddim"], "steps": [5, 10]}, "picture": "images"},
    "one": {"vary": {"sampler": ["ddim"], "steps": [5]}},
    "chosen": {
        "samplers": {"ddim": {}, "ode-adaptive": {"tolerance": [0.1]}},
        "vary": {"steps": [5, 10]},
        "picture": "line",
    },
    "width": {
        "of": ["baseline", "improved"],
        "arms": {"narrow": {"label": "half the width", "network": {"channels": 4}}},
        "metrics": ["frechet_distance", "kid"],
    },
    "causes": {
        "arms": {
            "narrow": {"label": "half the width", "network": {"channels": 4}},
            "fast": {"label": "a faster training", "training": {"learning_rate": 0.01}},
            "noisy": {"label": "noise in the steps", "samplers": {"ddim": {"steps": [5], "eta": 1}}},
        },
        "samplers": {"ddim": {"steps": [5]}},
    },
    "held": {
        "against": "narrow",
        "arms": {
            "narrow": {"label": "half the width", "network": {"channels": 4}},
            "fast": {"label": "a faster training", "training": {"learning_rate": 0.01}},
        },
        "samplers": {"ddim": {"steps": [5]}},
    },
    "scales": {"vary": {"network.multipliers": [[1, 2], [1, 1]]}},
    "labels": {
        "of": "conditional",
        "vary": {"training.label_dropout": [0.1, 0.2], "sampler": ["ddim"], "sampler.guidance": [1], "steps": [5]},
        "metrics": ["frechet_distance", "class_accuracy"],
    },
    "mixed": {
        "of": ["baseline", "conditional"],
        "samplers": {"ddim": {"steps": [5], "eta": 0}},
        "metrics": ["frechet_distance", "class_accuracy"],
    },
    "spread": {"of": "improved", "seeds": [0, 1, 2], "samplers": {"ddim": {"steps": [5]}}},
    "partly": {"seeds": [0, 1], "arms": {"fast": {"training": {"learning_rate": 0.01}}}},
    "missing": {"vary": {"network.blocks": [1, 2]}},
}
#: Fréchet distances by run and seed, then setting ("any": all others).
VALUES = {
    ("baseline", 0): {
        "ddim-5": 200,
        "ddim-10": 100,
        "ddim-eta-1-5": 300,
        "ddim-eta-1-10": 101,
        "ddim-eta-0.5-5": 120,
        "ddim-eta-0.5-10": 120,
        "ode-adaptive-tol0.1": 90,
    },
    ("improved", 0): {"ddim-5": 100},
    ("improved-seeds", 1): {"ddim-5": 110},
    ("improved-seeds", 2): {"ddim-5": 120},
    ("narrow-baseline", 0): {"ddim-5": 150},
    ("narrow-improved", 0): {"ddim-5": 150},
    ("scales-1-1", 0): {"ddim-5": 250},
    ("fast", 0): {"ddim-5": 220},
    ("conditional", 0): {"guided-5": 80},
    ("labels-0-2", 0): {"any": 100},
}


def experiments(root: Path) -> Material:
    """The study with these experiments in an empty folder, and what they found."""
    content = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    asked = {name: {"question": f"What of {name}?", "source": "a test", **entry} for name, entry in ASKED.items()}
    content["runs"] |= {
        "conditional": {
            "label": "Class-conditional",
            "network": {"class_conditional": True},
            "training": {"label_dropout": 0.1},
            "sampling": {"samplers": {"guided": {"kind": "ddim", "guidance": 1, "steps": [5]}}},
        }
    }
    study = root / "study.yaml"
    study.write_text(yaml.safe_dump(content | {"experiments": asked, "claims": []}, sort_keys=False))
    tree = StudyTree(root, study)
    for (name, seed), values in VALUES.items():
        tree.run(
            tree.loaded.run(name),
            seed,
            distances=lambda setting, steps, known=values: known.get(setting, known.get("any", 500)),
        )
    # Its groups differ the other way round, so that 1 apart decides nothing: ± (2 + 2.02).
    tree.set_distance("baseline", "ddim-eta-1-10", 101, spread=-0.02)
    write_ablations(tree.loaded, tree.plan, tree.root)
    return conclude(read_frames(tree.loaded, tree.root, tree.plan), tree.plan)

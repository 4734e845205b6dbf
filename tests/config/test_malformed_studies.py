"""A mistake in a study gives one line that names file, key and what would be right; exit code 2; nothing is written."""

import subprocess
import sys
from pathlib import Path

import pytest

from rediffuse.cli import main

ROOT = Path(__file__).resolve().parents[2]
SMOKE = (ROOT / "studies" / "smoke.yaml").read_text()

# (what stands in the study, what the user wrote instead, words that the message must hold)
MISTAKES = {
    "misspelt key": ("timesteps: 50", "timestep: 50", ["defaults.diffusion.timestep", "timesteps"]),
    "misspelt key of a run": ("diffusion: {schedule", "difusion: {schedule", ["runs.improved.difusion", "diffusion"]),
    "misspelt key of an arm": (
        "{channels: 4}",
        "{chanels: 4}",
        ["experiments.parts.arms.width-halved.network.chanels"],
    ),
    "misspelt top key": ("runs:\n", "runz:\n", ["runz", "runs"]),
    "key missing": ("study: smoke\n", "", ["study", "missing"]),
    "data set missing": ("data:\n  name: smoke\n", "", ["data", "missing"]),
    "text for a number": ("timesteps: 50", "timesteps: many", ["defaults.diffusion.timesteps", "'many'", "integer"]),
    "quoted number": ("timesteps: 50", "timesteps: '50'", ["defaults.diffusion.timesteps", "'50'"]),
    "fraction for a count": ("{channels: 4}", "{channels: 4.5}", ["parts.arms.width-halved.network.channels", "4.5"]),
    "truth for a count": ("channels: 8", "channels: true", ["defaults.network.channels", "True"]),
    "negative count": ("batch_size: 16\n    learning", "batch_size: -16\n    learning", ["training.batch_size", "-16"]),
    "zero": ("steps: 60", "steps: 0", ["defaults.training.steps", "0"]),
    "not a number": ("ema_decay: 0.9", "ema_decay: .nan", ["defaults.training.ema_decay", "finite"]),
    "decay of one": ("ema_decay: 0.9", "ema_decay: 1.0", ["defaults.training.ema_decay", "less than 1"]),
    "unknown schedule": ("schedule: cosine", "schedule: cosin", ["runs.improved.diffusion.schedule", "'cosine'"]),
    "unknown data set": ("  name: smoke\n", "  name: smok\n", ["data.name", "digits"]),
    "unknown features": ("efficientnet-lite0", "efficientnet-b7", ["evaluation.features", "efficientnet-lite0"]),
    "unknown sampler": (
        "ddim: {steps: [5]}\n\nruns",
        "ddym: {steps: [5]}\n\nruns",
        ["runs.baseline.sampling.samplers.ddym", "'ddym'", "ddim"],
    ),
    "loss that trains no variance": ("loss: hybrid", "loss: simple", ["runs.improved.diffusion", "learned-range"]),
    "variance without its loss": ("variance: learned-range, ", "", ["runs.improved.diffusion", "hybrid"]),
    "more steps than T": (
        "steps: [50, 5]",
        "steps: [500]",
        ["runs.baseline.sampling.samplers.ancestral.steps", "500", "50"],
    ),
    "corrections of more steps than T": ("many_steps: 10", "many_steps: 51", ["corrections.many_steps", "51", "50"]),
    "corrections of groups of one": (
        "{images: 16, steps: 5,",
        "{images: 3, steps: 5,",
        ["corrections.images: 3", "evaluation.groups", "at least 4"],
    ),
    "no steps": ("steps: [50, 5]", "steps: []", ["samplers.ancestral.steps", "at least 1"]),
    "a step count twice": ("steps: [50, 5]", "steps: [5, 5]", ["samplers.ancestral", "twice"]),
    "eta for ancestral": ("{steps: [50, 5]}", "{steps: [5], eta: 0.5}", ["samplers.ancestral.eta", "ddim"]),
    "eta beyond one": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: [5], eta: 2}\n\nruns",
        ["ddim.eta", "less than or"],
    ),
    "a number for the list of steps": ("steps: [50, 5]", "steps: 5", ["samplers.ancestral.steps: 5", "such as [5]"]),
    "IDDPM's notation of steps": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: ddim5}\n\nruns",
        ["samplers.ddim.steps: 'ddim5'", "kind: ddim, steps: [5]"],
    ),
    "text for the list of steps": ("steps: [50, 5]", "steps: ten", ["samplers.ancestral.steps: 'ten'", "such as [5]"]),
    "no steps at all": ("ddim: {steps: [5]}\n\nruns", "ddim: {}\n\nruns", ["samplers.ddim.steps", "missing"]),
    "option of another sampler": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: [5], order: 2}\n\nruns",
        ["samplers.ddim.order", "kind: dpm-solver-pp"],
    ),
    "misspelt option of a sampler": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: [5], etta: 1}\n\nruns",
        ["samplers.ddim.etta", "'eta'"],
    ),
    "option out of its range": (
        "ddim: {steps: [5]}\n\nruns",
        "dpm-solver-pp: {steps: [5], order: 3}\n\nruns",
        ["samplers.dpm-solver-pp.order: 3", "1 or 2"],
    ),
    "steps of a sampler that chooses its own": (
        "ddim: {steps: [5]}\n\nruns",
        "ode-adaptive: {steps: [5], tolerance: [0.1]}\n\nruns",
        ["samplers.ode-adaptive.steps", "tolerance"],
    ),
    "no tolerance": (
        "ddim: {steps: [5]}\n\nruns",
        "ode-adaptive: {}\n\nruns",
        ["samplers.ode-adaptive.tolerance", "missing"],
    ),
    "times between steps of a network that cannot": (
        "    label: DDPM\n",
        "    label: DDPM\n    diffusion: {prediction: mu}\n"
        "    sampling: {samplers: {ode-adaptive: {tolerance: [0.1]}}}\n",
        ["runs.baseline.sampling.samplers.ode-adaptive.fractional", "use false"],
    ),
    "temperature beyond float32": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: [5], initial_temperature: 1e39}\n\nruns",
        ["samplers.ddim.initial_temperature: 1e+39", "1000"],
    ),
    "temperature of noise that is not drawn": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: [5], step_temperature: 0.5}\n\nruns",
        ["samplers.ddim.step_temperature", "eta 0"],
    ),
    "spacing without steps": (
        "ddim: {steps: [5]}\n\nruns",
        "ode-adaptive: {tolerance: [0.1], spacing: quadratic}\n\nruns",
        ["runs.baseline.sampling.samplers.ode-adaptive.spacing", "leave it out"],
    ),
    "linear schedule too short": (
        "timesteps: 50",
        "timesteps: 20",
        ["baseline.diffusion.timesteps", "20", "at least 21"],
    ),
    "sigmoid schedule too short": (
        "timesteps: 50",
        "timesteps: 10, schedule: sigmoid",
        ["baseline.diffusion.timesteps", "sigmoid", "10", "at least 21"],
    ),
    "weighting that weighs nothing": (
        "timesteps: 50",
        "timesteps: 50, weighting: snr",
        ["defaults.diffusion.weighting", "snr", "eps", "inverse-snr"],
    ),
    "odd channels for a sinusoid": ("channels: 8", "channels: 9", ["network.channels", "9", "even number from 4"]),
    "too few channels for a sinusoid": ("channels: 8", "channels: 2", ["network.channels", "2", "from 4"]),
    "odd channels of an ablation": ("{channels: 4}", "{channels: 5}", ["width-halved.network.channels", "5", "even"]),
    "odd channels of a classifier": ("classifier: {channels: 8", "classifier: {channels: 9", ["channels", "9", "2"]),
    "layers for no class": ("blocks: 1, ", "blocks: 1, class_mlp: true, ", ["network.class_mlp", "class_conditional"]),
    "attention at no scale": ("attention: [4]", "attention: [3]", ["network.attention", "[8, 4]"]),
    "too many halvings": ("multipliers: [1, 2]", "multipliers: [1, 2, 2, 2, 2]", ["network.multipliers", "8"]),
    "heads that do not divide": ("blocks: 1, ", "blocks: 1, heads: 3, ", ["defaults.network.heads", "divisor"]),
    "too few samples": ("images: 40", "images: 39", ["sampling.images", "at least 40"]),
    "images of what is not sampled": (
        "images: 40",
        "images: 40\n    images_of: {ddim-6: 60}",
        ["defaults.sampling.images_of", "'ddim-6'", "'ddim-5'"],
    ),
    "images of a setting for no group": (
        "images: 40",
        "images: 40\n    images_of: {ddim-5: 19}",
        ["sampling.images_of.ddim-5", "19", "at least 20"],
    ),
    "groups beyond the held-out images": ("group_size: 20", "group_size: 25", ["evaluation.group_size", "24"]),
    "batch beyond the data": ("batch_size: 16\n    learning", "batch_size: 64\n    learning", ["batch_size", "40"]),
    "warm-up that never ends": ("warmup: 10", "warmup: 60", ["defaults.training.warmup"]),
    "preview after the end": ("preview_steps: [20, 60]", "preview_steps: [61]", ["preview_steps", "61", "60"]),
    "experiment of nothing": ("of: improved", "of: nobody", ["experiments.parts.of", "'nobody'", "baseline"]),
    "axis of no key": ("diffusion.schedule:", "difusion.schedule:", ["experiments.schedule.vary", "difusion.schedule"]),
    "axis of a misspelt key": ("diffusion.schedule:", "diffusion.shedule:", ["vary.diffusion.shedule", "'schedule'"]),
    "value of an axis that is none": ("[cosine, linear]", "[cosine, liner]", ["vary.diffusion.schedule", "'linear'"]),
    "axis without values": ("[cosine, linear]", "[]", ["experiments.schedule.vary.diffusion.schedule", "no value"]),
    "axis with a value twice": ("[cosine, linear]", "[linear, linear]", ["vary.diffusion.schedule", "twice"]),
    "sampler of an axis that is none": ("sampler: [ancestral, ddim]", "sampler: [plsm]", ["vary.sampler", "'plsm'"]),
    "more steps than T on an axis": (
        "ddim], steps: [5, 10]",
        "ddim], steps: [99]",
        ["experiments.samplers.vary.steps", "50"],
    ),
    "eta beyond one on an axis": ("sampler.eta: [0, 1]", "sampler.eta: [2]", ["experiments.stochasticity", "eta"]),
    "heat map of three axes": (
        "steps: [5, 10]}\n    picture: line",
        "steps: [5, 10]}\n    picture: heat-map",
        ["experiments.samplers.picture", "two axes", "run, sampler, steps"],
    ),
    "question missing": ("    question: Does noise in the steps help?\n", "", ["stochasticity.question", "missing"]),
    "chapter of no question": ("chapter: speed", "chapter: sped", ["stochasticity.chapter", "'speed'"]),
    "metric of an experiment that is none": (
        "[frechet_distance, kid]",
        "[fid]",
        ["experiments.comparison.metrics", "'fid'", "frechet_distance"],
    ),
    "claim of no form": (
        "        worse: baseline/ancestral-5\n",
        "",
        ["experiments.comparison.claims.0", "better + worse"],
    ),
    "claim of two forms": (
        "        worse: baseline/ancestral-5\n",
        "        worse: real/noise\n        below: 3\n",
        ["experiments.comparison.claims.0", "below, better, worse"],
    ),
    "claim of an experiment about nothing": (
        "better: baseline/ddim-10",
        "better: baseline/ddim-9",
        ["stochasticity.claims.0"],
    ),
    "two baselines": ("role: improved", "role: baseline", ["runs.improved.role", "baseline"]),
    "a seed twice": ("seeds: [0, 1, 2]", "seeds: [1, 1]", ["experiments.spread.seeds", "twice"]),
    "negative seed": ("seeds: [0]", "seeds: [-1]", ["seeds", "-1"]),
    "claim about nothing": (
        "better: improved/ancestral-5",
        "better: improved/ancestral-7",
        ["experiments.comparison.claims.0.better"],
    ),
    "claim of a cell against itself": (
        "worse: baseline/ancestral-5",
        "worse: improved/ancestral-5",
        ["experiments.comparison.claims.0", "itself"],
    ),
    "claim about classes that nobody asks for": (
        "better: improved/ancestral-5",
        "metric: class_accuracy\n        better: improved/ancestral-5",
        ["experiments.comparison.claims.0.better", "has no class_accuracy"],
    ),
    "axis by a key that is none of many": (
        "vary: {diffusion.schedule: [cosine, linear]}",
        "vary: {training.momentum: [0.9, 0.5]}",
        ["experiments.schedule.vary.training.momentum", "unknown key", "the likest of "],
    ),
    "metric by a name much like one": (
        "better: improved/ancestral-5",
        "metric: psnrs\n        better: improved/ancestral-5",
        ["experiments.comparison.claims.0.metric", " are psnr, ", "docs/study.md lists all"],
    ),
    "restoration by a method that nobody asks for": (
        "methods: [ancestral, ddim]}",
        (
            "methods: [ancestral]}\nclaims:\n"
            "- {claim: c, source: s, metric: psnr, cell: baseline/denoising-ddim, above: 9}"
        ),
        ["claims.0.cell", "'baseline/denoising-ddim' has no psnr", "did you mean"],
    ),
    "likelihood of an ablation": (
        "better: improved/ancestral-5",
        "metric: bits_per_dim\n        better: width-halved/likelihood",
        ["experiments.comparison.claims.0.better", "width-halved/likelihood' has no bits_per_dim"],
    ),
    "no scale": ("multipliers: [1, 2]", "multipliers: []", ["defaults.network.multipliers", "at least 1"]),
    "no scale of a classifier": (
        "classifier: {channels: 8",
        "classifier: {multipliers: [], channels: 8",
        ["runs.improved.classifier.multipliers", "at least 1"],
    ),
    "truth for a choice of numbers": (
        "blocks: 1, ",
        "time_frequency_shift: true, blocks: 1, ",
        ["defaults.network.time_frequency_shift", "True", "such as 1"],
    ),
    "more channels than a network can have": ("channels: 8", "channels: 200000", ["network.channels", "100000"]),
    "more threads than there are": (
        "threads: 1\n",
        "threads: 5000\n",
        ["hardware.threads", "5000", "1024"],
    ),
    "a scoring at each of many steps": (
        "steps: 60\n",
        "steps: 60000\n",
        ["during_training.every", "30", "60,000 training steps of baseline", "at least 60"],
    ),
    "a name of 300 letters": ("study: smoke", f"study: {'s' * 300}", ["study", "60"]),
    "an escape in a label": ("label: DDPM", 'label: "DD\\ePM"', ["runs.baseline.label", "U+001B"]),
    "weights at no path": (
        "features: efficientnet-lite0",
        'features: efficientnet-lite0\n  weights: ""',
        ["evaluation.weights", "at least 1"],
    ),
    "weights at a path with NUL": (
        "features: efficientnet-lite0",
        'features: efficientnet-lite0\n  weights: "a\\0b"',
        ["evaluation.weights", "'a\\x00b'", "control characters"],
    ),
    "weights in a folder": (
        "features: efficientnet-lite0",
        "features: efficientnet-lite0\n  weights: .",
        ["evaluation.weights", "is not a file"],
    ),
    "weights of a run that are nowhere": (
        "label: DDPM\n",
        f"label: DDPM\n    weights: {{folder: nowhere, sha256: {'f' * 64}}}\n",
        ["runs.baseline.weights.folder", "nowhere", "rediffuse import"],
    ),
    "name unfit for a path": ("study: smoke", "study: ../smoke", ["study", "lower-case"]),
    "name of a folder of ours": ("  baseline:\n", "  real:\n", ["runs.real", "another"]),
    "model of no kind": ("model: vae", "model: vea", ["runs.vae.model", "'vea'", "did you mean 'vae'"]),
    "critic of a VAE": (
        "network: {latent: 4",
        "network: {critic_norm: layer, latent: 4",
        ["runs.vae.network.critic_norm", "wgan-gp"],
    ),
    "critic steps of a DCGAN": (
        "{steps: 30, batch_size: 16, ema",
        "{steps: 30, critic_steps: 2, ema",
        ["runs.dcgan.training.critic_steps", "wgan-gp"],
    ),
    "diffusion of a VAE": ("model: vae", "model: vae\n    diffusion: {timesteps: 5}", ["runs.vae.diffusion", "vae"]),
    "samplers of a VAE": (
        "model: vae",
        "model: vae\n    sampling: {samplers: {ddim: {steps: [5]}}}",
        ["runs.vae.sampling.samplers", "one way"],
    ),
    "experiment of a VAE": ("of: improved", "of: vae", ["experiments.parts.of", "'vae'", "baseline, improved"]),
    "arm named as a run": ("      light: {", "      vae: {", ["experiments.parts.arms", "'vae'", "taken"]),
    "key of a classifier": (
        "classifier: {channels: 8",
        "classifier: {chanels: 8",
        ["runs.improved.classifier.chanels", "'channels'"],
    ),
    "guidance by no classifier": (
        "ddim: {steps: [5]}\n\nruns",
        "ddim: {steps: [5], classifier_scale: 1}\n\nruns",
        ["runs.baseline.sampling.samplers.ddim.classifier_scale", "section `classifier`"],
    ),
    "batch of a one-pass model beyond the data": (
        "{steps: 30, batch_size: 16, ema",
        "{steps: 30, batch_size: 64, ema",
        ["runs.dcgan.training.batch_size", "40"],
    ),
    "misspelt key of a one-pass model": ("latent: 4", "latents: 4", ["runs.vae.network.latents", "'latent'"]),
    "likelihood of a GAN": (
        "better: improved/ancestral-5",
        "metric: bits_per_dim\n        better: dcgan/likelihood",
        ["experiments.comparison.claims.0.better", "dcgan/likelihood' has no bits_per_dim"],
    ),
    "key twice": ("steps: 60", "steps: 60\n    steps: 70", [":", "'steps' stands twice"]),
    "broken YAML": ("title: Smoke", "title: [Smoke", ["not valid YAML"]),
    "list instead of mapping": (SMOKE, "- study\n- smoke\n", ["a list", "mapping"]),
    "empty file": (SMOKE, "", ["nothing", "mapping"]),
    "not text": (SMOKE, "\xff\xfe\x00", ["UTF-8"]),
}


def check(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rediffuse", "check", str(path)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_malformed_study_gives_one_clear_line_and_exit_code_2(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    right, wrong, words = MISTAKES[mistake]
    assert right in SMOKE, "the study no longer holds what this case replaces"
    study = tmp_path / "study.yaml"
    study.write_bytes(SMOKE.replace(right, wrong, 1).encode("latin-1" if mistake == "not text" else "utf-8"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rediffuse", "check", "study.yaml"])

    with pytest.raises(SystemExit) as end:
        main()

    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.isprintable()
    assert len(line) < 300
    assert [word for word in ("study.yaml", *words) if word not in line] == []
    assert sorted(tmp_path.iterdir()) == [study]


def test_the_study_that_the_mistakes_are_made_in_is_itself_accepted(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(SMOKE)
    assert check(tmp_path / "study.yaml", tmp_path).returncode == 0


def test_a_missing_file_is_named_with_what_to_name_instead(tmp_path: Path):
    result = check(tmp_path / "nowhere.yaml", tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "no such file" in result.stderr
    assert len(result.stderr.splitlines()) == 1

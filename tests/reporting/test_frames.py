import json

import numpy as np
import pytest

from rediffuse.errors import UserError
from rediffuse.evaluation.metrics import METRICS
from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting.experiments.cells import make_cells
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.read.timings import read_timings
from rediffuse.runs import facts
from tests.reporting.study_tree import StudyTree


def test_every_metric_of_every_setting_has_a_row(tree: StudyTree) -> None:
    quality = read_frames(tree.loaded, tree.root, tree.plan).quality
    settings = sum(len(facts.settings(run)) for run in tree.loaded.runs.values())
    assert quality["metric"].isin(METRICS).sum() == len(METRICS) * (settings + 2)


def test_nothing_on_disk_gives_empty_frames(empty_tree: StudyTree) -> None:
    frames = read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan)
    assert [len(f) for f in (frames.quality, frames.history, frames.likelihood)] == [0, 0, 0]


def test_metrics_in_other_features_are_refused_by_name(tree: StudyTree) -> None:
    path = tree.folder("baseline") / "metrics" / "ddim-5.json"
    write_json(path, {**read_json(path), "features": "inception-v3"})
    with pytest.raises(UserError, match=r"ddim-5\.json: was scored with inception-v3"):
        read_frames(tree.loaded, tree.root, tree.plan)


def test_a_damaged_file_is_refused_by_name(tree: StudyTree) -> None:
    (tree.folder("baseline") / "metrics" / "ddim-5.json").write_text("{")
    with pytest.raises(UserError, match=r"ddim-5\.json: is not JSON"):
        read_frames(tree.loaded, tree.root, tree.plan)


def test_what_an_earlier_study_left_and_no_job_of_this_one_makes_is_not_read(tree: StudyTree) -> None:
    before = read_frames(tree.loaded, tree.root, tree.plan).network
    for name in ("probe/probe.json", "restoration/psnr.json"):
        path = tree.folder("dcgan") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
    assert read_frames(tree.loaded, tree.root, tree.plan).network.equals(before)


def test_a_timing_of_another_training_is_not_used(tree: StudyTree) -> None:
    path = tree.folder("baseline") / "timing" / "train.json"
    write_json(path, {**read_json(path), "key": "another"})
    found = read_timings(tree.loaded, tree.plan, tree.root).training
    assert set(found["run"]) == set(tree.loaded.runs) - {"baseline"}


def test_a_file_changed_after_its_receipt_is_said_to_be_altered(tree: StudyTree) -> None:
    tree.set_distance("baseline", "ddim-5", 1.0)
    states = {s.path: s.state for s in read_frames(tree.loaded, tree.root, tree.plan).pedigree.sources.values()}
    assert states["runs/smoke/baseline/seed0/metrics/ddim-5.json"] == "altered since"
    assert states["runs/smoke/improved/seed0/metrics/ddim-5.json"] == "as made"


def test_the_pedigree_is_made_of_the_outputs_of_the_main_jobs(tree: StudyTree) -> None:
    tree.run(tree.loaded.ablations["width-halved"], 0)
    sources = read_frames(tree.loaded, tree.root, tree.plan).pedigree.sources
    asked = [str(path) for job in tree.plan.measured() for path in job.outputs if (tree.root / path).is_file()]
    assert list(sources) == asked
    one = sources["runs/smoke/improved/seed0/metrics/ddim-5.json"]
    job = tree.plan.jobs["evaluate/improved/seed0"]
    assert (one.job, one.command, one.key, one.code) == (job.name, job.command, job.key, job.code)


def test_several_seeds_become_their_mean_with_a_t_interval(tree: StudyTree) -> None:
    frame = read_frames(tree.loaded, tree.root, tree.plan).quality
    one = frame[(frame["run"] == "baseline") & (frame["setting"] == "ddim-5") & (frame["metric"] == "frechet_distance")]
    two = one.assign(seed=1, value=one["value"] + 2.0)
    cell = make_cells(type(frame)(one.to_dict("records") + two.to_dict("records")))[
        "baseline", "ddim-5", "frechet_distance"
    ]
    value = float(one["value"].iloc[0])
    assert cell.value == pytest.approx(value + 1.0)
    # Standard deviation √2 over two seeds, so the half width is t(1 degree of freedom, 97.5 %) times 1.
    assert cell.high - cell.value == pytest.approx(12.7062047, rel=1e-6)
    assert cell.seeds == (0, 1)


def test_a_metric_that_could_not_be_computed_has_no_cell(tree: StudyTree) -> None:
    path = tree.folder("baseline") / "metrics" / "ddim-5.json"
    record = json.loads(path.read_text())
    record["metrics"]["kid"].update(value=None, low=None, high=None, unavailable="the reference has no features")
    write_json(path, record)
    cells = make_cells(read_frames(tree.loaded, tree.root, tree.plan).quality)
    assert ("baseline", "ddim-5", "kid") not in cells
    assert np.isfinite(cells["baseline", "ddim-5", "frechet_distance"].value)

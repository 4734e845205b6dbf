from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting import collect_ablations, collect_timings, write_ablations, write_evidence
from tests.reporting.study_tree import StudyTree


def run_ablation(tree: StudyTree, name: str, seed: int = 0) -> None:
    tree.run(tree.loaded.ablations[name], seed)


def test_timings_are_kept_by_job_key(tree: StudyTree) -> None:
    timings = collect_timings(tree.loaded, tree.root)
    key = read_json(tree.folder("baseline") / "receipts" / "train.json")["key"]
    assert timings[key]["seconds"] == 250.5
    assert (
        len(timings) == 2 * (2 + 3) + 1
    )  # training and sampling of two runs and three one-pass models; the cost of the networks


def test_timings_of_jobs_that_were_not_run_here_stay(tree: StudyTree) -> None:
    write_json(tree.out / "evidence" / "timings.json", {"elsewhere": {"key": "elsewhere", "seconds": 1.0}})
    write_evidence(tree.loaded, tree.root, tree.out)
    assert "elsewhere" in read_json(tree.out / "evidence" / "timings.json")


def test_a_finished_ablation_becomes_a_record(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    (record,) = collect_ablations(tree.loaded, tree.root)
    assert record["ablation"] == "width-halved"
    assert record["overrides"] == {"network": {"channels": 4}}
    assert set(record["keys"]) == {"train", "sample", "evaluate"}
    assert set(record["metrics"]) == {"ddim-5"}


def test_an_unfinished_ablation_becomes_none(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    (tree.folder("width-halved") / "metrics" / "ddim-5.json").unlink()
    assert collect_ablations(tree.loaded, tree.root) == []


def test_an_ablation_trained_with_other_settings_becomes_none(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    path = tree.folder("width-halved") / "receipts" / "train.json"
    receipt = read_json(path)
    receipt["settings"]["network"]["channels"] = 2
    write_json(path, receipt)
    assert collect_ablations(tree.loaded, tree.root) == []


def test_without_finished_ablations_no_file_is_made(tree: StudyTree) -> None:
    write_ablations(tree.loaded, tree.root, tree.out)
    assert not (tree.out / "evidence" / "ablations.json").exists()


def test_records_of_ablations_that_are_not_on_disk_stay(tree: StudyTree) -> None:
    old = [{"ablation": "ema-off", "seed": 0, "metrics": {}}]
    write_json(tree.out / "evidence" / "ablations.json", old)
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.root, tree.out)
    names = [record["ablation"] for record in read_json(tree.out / "evidence" / "ablations.json")]
    assert names == ["width-halved", "ema-off"]


def test_a_record_keeps_its_training_time_where_the_timing_is_gone(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.root, tree.out)
    (tree.folder("width-halved") / "timing" / "train.json").unlink()
    (record,) = collect_ablations(tree.loaded, tree.root)
    assert record["train_seconds"] == 250.5

from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting import accept_kept, collect_ablations, write_ablations
from tests.reporting.study_tree import COMMIT, StudyTree


def run_ablation(tree: StudyTree, name: str, seed: int = 0) -> None:
    tree.run(tree.loaded.ablations[name], seed)


def test_a_finished_ablation_becomes_a_record(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    (record,) = collect_ablations(tree.loaded, tree.plan, tree.root)
    assert record["ablation"] == "width-halved"
    assert record["overrides"] == {"network": {"channels": 4}}
    assert set(record["keys"]) == {"train", "sample", "evaluate"}
    assert set(record["metrics"]) == {"ddim-5"}


def test_an_unfinished_ablation_becomes_none(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    (tree.folder("width-halved") / "metrics" / "ddim-5.json").unlink()
    assert collect_ablations(tree.loaded, tree.plan, tree.root) == []


def test_an_ablation_trained_with_other_settings_becomes_none(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    path = tree.folder("width-halved") / "receipts" / "train.json"
    receipt = read_json(path)
    receipt["settings"]["network"]["channels"] = 2
    write_json(path, receipt)
    assert collect_ablations(tree.loaded, tree.plan, tree.root) == []


def test_without_finished_ablations_no_file_is_made(tree: StudyTree) -> None:
    write_ablations(tree.loaded, tree.plan, tree.root)
    assert not (tree.out / "evidence" / "ablations.json").exists()


def test_records_of_ablations_that_are_not_on_disk_stay(tree: StudyTree) -> None:
    old = [{"ablation": "ema-off", "seed": 0, "metrics": {}}]
    write_json(tree.out / "evidence" / "ablations.json", old)
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.plan, tree.root)
    names = [record["ablation"] for record in read_json(tree.out / "evidence" / "ablations.json")]
    assert names == ["width-halved", "ema-off"]


def test_no_time_is_in_the_record(tree: StudyTree) -> None:
    old = [{"ablation": "ema-off", "seed": 0, "metrics": {}, "train_seconds": 12.0, "commit": "abc"}]
    write_json(tree.out / "evidence" / "ablations.json", old)
    run_ablation(tree, "width-halved")
    for record in collect_ablations(tree.loaded, tree.plan, tree.root):
        assert not [name for name in record if "second" in name or "_ms_" in name or name in ("commit", "machine")]
        assert record.get("parameters") in (None, 181_649)


def test_the_times_stand_beside_with_whose_they_are(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.plan, tree.root)
    (times,) = read_json(tree.out / "timings" / "ablations.json")
    assert (times["train_seconds"], times["sample_ms_per_step"]) == (250.5, 100.0)
    assert (times["machine"]["cpu"], times["date"], times["commit"]) == (
        "Test CPU",
        "2026-11-25T10:00:00+00:00",
        COMMIT,
    )


def test_times_stay_where_the_files_are_gone(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.plan, tree.root)
    (tree.folder("width-halved") / "timing" / "train.json").unlink()
    write_ablations(tree.loaded, tree.plan, tree.root)
    (times,) = read_json(tree.out / "timings" / "ablations.json")
    assert times["train_seconds"] == 250.5


def test_a_record_is_kept_under_changed_code_for_a_stated_reason(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.plan, tree.root)
    path = tree.out / "evidence" / "ablations.json"
    [right] = read_json(path)
    write_json(path, [{**right, "keys": dict.fromkeys(right["keys"], "made by other code")}])
    assert accept_kept(tree.loaded, tree.plan, tree.root, "the bytes are the same") == ["width-halved/seed0"]
    [record] = read_json(path)
    assert record["keys"] == right["keys"]
    assert record["accepted"] == [{"trained under key": "made by other code", "because": "the bytes are the same"}]
    assert accept_kept(tree.loaded, tree.plan, tree.root, "again") == []


def test_a_record_of_other_overrides_is_not_kept(tree: StudyTree) -> None:
    run_ablation(tree, "width-halved")
    write_ablations(tree.loaded, tree.plan, tree.root)
    path = tree.out / "evidence" / "ablations.json"
    [record] = read_json(path)
    write_json(path, [{**record, "overrides": {}, "keys": {}}])
    assert accept_kept(tree.loaded, tree.plan, tree.root, "no reason is good enough") == []

"""The table of colours: every setting that was scored, and real images last."""

import csv
import io
import json
from collections.abc import Iterator

import pytest

from rediffuse.errors import UserError
from rediffuse.formats import write_json
from rediffuse.reporting.chapters import colours
from rediffuse.reporting.experiments.cells import all_cells
from rediffuse.reporting.read.frames import read_frames
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import PROJECT, StudyTree

FOUND = {
    "mean": [0.5, 0.25, 0.125],
    "std": [0.1, 0.1, 0.1],
    "cast": 0.0625,
    "between": 0.5,
    "saturation": 0.75,
    "chroma": 0.25,
    "hue": 19.5,
    "hue_within": 0.875,
    "hue_across": None,
    "hue_spread": None,
    "images": 40,
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    return StudyTree(tmp_path_factory.mktemp("coloured"), PROJECT / "studies" / "smoke.yaml").everything()


@pytest.fixture
def coloured(tree: StudyTree) -> Iterator[StudyTree]:
    """With colours in every metrics file."""
    files = [*tree.root.glob("runs/smoke/*/seed0/metrics/*.json"), *tree.root.glob("runs/smoke/real/*.json")]
    kept = {path: path.read_text() for path in files}
    for path, text in kept.items():
        write_json(path, json.loads(text) | {"colours": FOUND})
    yield tree
    for path, text in kept.items():
        path.write_text(text)


def test_the_cast_of_a_setting_is_a_cell_that_experiments_and_claims_may_name(coloured: StudyTree):
    cells = all_cells(read_frames(coloured.loaded, coloured.root, coloured.plan))
    found = cells["baseline", "ddim-5", "colour_cast"]
    assert (found.value, found.n) == (FOUND["cast"], FOUND["images"])
    assert ("baseline", "ddim-5", "hue_agreement") not in cells  # whose hues have no mean


def test_every_scored_setting_has_a_row_and_real_images_the_last(coloured: StudyTree):
    frames = read_frames(coloured.loaded, coloured.root, coloured.plan)
    table = colours.table(frames)
    assert isinstance(table, Table)
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    scored = frames.quality[["run", "setting", "seed"]].drop_duplicates()
    assert len(rows) == len(scored) > 10
    assert [row["Images"] for row in rows[-2:]] == ["held-out real images", "uniform noise"]
    assert table.marked == {len(rows) - 2, len(rows) - 1}
    for row in rows:
        assert [float(row[f"Mean {name}"]) for name in ("red", "green", "blue")] == FOUND["mean"]
        assert float(row["Cast"]) == 0.0625
        assert float(row["Variance between images (%)"]) == 50
        assert row["Hues of all images agree"] == "—"


def test_every_row_leads_to_its_file(coloured: StudyTree):
    frames = read_frames(coloured.loaded, coloured.root, coloured.plan)
    table = colours.table(frames)
    assert isinstance(table, Table)
    paths = {source.id: path for path, source in frames.pedigree.sources.items()}
    places = {"—": ".json", "One pass": "/one-pass-1.json", "DDIM (η = 1), 5 steps": "/ddim-eta-1-5.json"}
    places |= {f"Ancestral, {n} steps": f"/ancestral-{n}.json" for n in (5, 10, 50)}
    places |= {f"DDIM, {n} steps": f"/ddim-{n}.json" for n in (5, 10)}
    places |= {
        "DDIM (η = 1), 10 steps": "/ddim-eta-1-10.json",
        "DDIM (classifier scale 1), 5 steps": "/classifier-1-5.json",
    }
    places |= {f"DDIM (variations {share}), 5 steps": f"/ddim-variations-{share}-5.json" for share in ("0.1", "1")}
    for row in csv.DictReader(io.StringIO(table.csv())):
        assert paths[row["From"]].endswith(places[row["Setting"]])


@pytest.mark.parametrize("damage", [{"mean": [0.5]}, {}, "red"])
def test_damaged_colours_are_named(coloured: StudyTree, damage: object):
    path = coloured.root / "runs/smoke/real/noise.json"
    write_json(path, json.loads(path.read_text()) | {"colours": damage})
    with pytest.raises(UserError, match=r"real/noise\.json: is not a metrics file"):
        read_frames(coloured.loaded, coloured.root, coloured.plan)


def test_a_batch_of_which_nothing_varies_has_no_share_between_images(coloured: StudyTree):
    for path in [
        *coloured.root.glob("runs/smoke/*/seed0/metrics/*.json"),
        *coloured.root.glob("runs/smoke/real/*.json"),
    ]:
        write_json(path, json.loads(path.read_text()) | {"colours": FOUND | {"between": None}})
    table = colours.table(read_frames(coloured.loaded, coloured.root, coloured.plan))
    assert isinstance(table, Table)
    assert {row["Variance between images (%)"] for row in csv.DictReader(io.StringIO(table.csv()))} == {"—"}


def test_grey_images_are_said_to_have_none(tree: StudyTree):
    assert (
        colours.table(read_frames(tree.loaded, tree.root, tree.plan))
        == "The images are grey: there are no colours to compare."
    )


def test_nothing_scored_has_no_table(empty_tree: StudyTree):
    assert colours.table(read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan)) is None

"""The whole report of the smoke study with made-up numbers: built once a case, read by many tests."""

import copy
import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rediffuse.evaluation.metrics import METRICS
from rediffuse.files import read_json, write_atomically
from rediffuse.formats import write_json
from rediffuse.pipeline.plan import Job
from rediffuse.reporting import build_report, write_ablations
from tests.reporting.study_tree import PROJECT, StudyTree, table, timings

SMOKE = PROJECT / "studies" / "smoke.yaml"


@pytest.fixture(scope="module")
def nothing_run(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    """The report of a study of which nothing was run."""
    tree = StudyTree(tmp_path_factory.mktemp("empty"), SMOKE)
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    return tree


TEXT = ("td", "th", "h2", "h3")


class Page(HTMLParser):
    """Text of table cells and headings (as Markdown has them, without their links), addresses, ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self._open: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("td", "tr") and self._open:
            self.handle_endtag("td")  # which HTML lets out
        self.sources += [values[name] or "" for name in ("src", "srcset", "data") if name in values]
        if tag == "link":
            self.sources.append(values.get("href") or "")
        if tag == "a":
            self.links.append(values.get("href") or "")
        if values.get("id"):
            self.ids.append(values["id"] or "")
        if tag in TEXT:
            self._open.append([])

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody" and self._open:
            self.handle_endtag("td")
        if tag in TEXT:
            text = "".join(self._open.pop()).rstrip()
            if tag in ("h2", "h3"):
                self.headings.append(("## " if tag == "h2" else "### ") + text.removesuffix("#"))
            else:
                self.cells.append(text)


def page(tree: StudyTree) -> Page:
    return Page((tree.out / "report.html").read_text())


def markdown(tree: StudyTree) -> str:
    return (tree.out / "report.md").read_text()


def markdown_cells(text: str) -> list[str]:
    """Cells of all Markdown tables as plain text."""
    cells = []
    for line in text.splitlines():
        if line.startswith("| ") and not re.fullmatch(r"[|: -]+", line):
            cells += [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    plain = [re.sub(r"\[([^]]*)\]\([\w.]*#[^)]*\)", r"\1", re.sub(r"<[^>]*>", "", cell)) for cell in cells]
    return [
        re.sub(r"\\([*_|])", r"\1", cell).replace("`", "").replace("&lt;", "<").replace("&gt;", ">") for cell in plain
    ]


def test_the_page_loads_nothing_from_outside(built: StudyTree) -> None:
    sources = page(built).sources
    assert len(sources) >= 8
    assert all(source.startswith("data:image/") for source in sources)
    style = (built.out / "report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_link_of_the_page_leads_somewhere(built: StudyTree) -> None:
    found = page(built)
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_every_figure_has_a_caption(built: StudyTree) -> None:
    captions = re.findall(r"^\*\*Figure \w+\.\*\*(.*)$", markdown(built) + timings(built), re.MULTILINE)
    assert len(captions) > 8
    assert all(len(caption) > 20 for caption in captions)


def test_every_file_that_markdown_names_exists(built: StudyTree) -> None:
    named = re.findall(r"\]\(((?:figures|tables|timings)[/.][^)]+)\)", markdown(built) + timings(built))
    assert len(named) > 30
    assert [name for name in named if not (built.out / name).is_file()] == []


def test_markdown_and_html_say_the_same_in_their_tables(built: StudyTree) -> None:
    cells = markdown_cells(markdown(built)) + markdown_cells(timings(built))
    start = cells.index("What it does")  # the list of commands has a header in Markdown alone
    cells, there = cells[: start - 1] + cells[start + 1 :], page(built).cells
    assert len(cells) == len(there)
    for place, (said, shown) in enumerate(zip(cells, there, strict=True)):
        # Of the files of one job the page says once what they share; these tables have 6 and 7 columns.
        assert said == shown or (shown == "" and said in (cells[place - 6], cells[place - 7])), (place, said, shown)
    assert sum(map(bool, there)) > len(cells) / 2


def test_markdown_and_html_have_the_same_headings(built: StudyTree) -> None:
    report = re.findall(r"^##+ .*$", markdown(built), re.MULTILINE)
    times = re.findall(r"^## (.*)$", timings(built), re.MULTILINE)
    assert page(built).headings == [*report, "## This machine", *(f"### {title}" for title in times)]


def test_chapters_stand_under_questions_experiments_first_and_this_machine_last(built: StudyTree) -> None:
    assert page(built).headings == [
        "## In short",
        "## Does it reproduce?",
        "### Does the improved model make better images than the baseline, with which sampler and in how few steps?",
        *("### Claims", "### Samples", "### One-pass models"),
        "## What does Improved DDPM buy?",
        "### What does each part of the improved model buy?",
        *("### How much of the gain is the cosine schedule?", "### Noise schedules", "### Weightings of the loss"),
        "## What does speed cost?",
        *("### Does noise in the steps help?", "### Which sampler is best at few steps?"),
        *("### What happens along the reverse steps?", "### Cost of the networks"),
        "## What does each part do?",
        "### How far do variations of one image stray from it?",
        *("### Which prediction errs where?", "### Classifiers that guide", "### Quality during training"),
        "## Can the numbers be trusted?",
        *("### How far do the numbers move with the training seed?", "### Same noise, same image?"),
        "### Which recipe trains more steadily?",
        *("### Training stability", "### Loss during training", "### Fidelity and variety", "### The number of images"),
        *("### Memorisation", "### Classes", "### Colours", "### Does the arithmetic hold?"),
        *("## What did the documents get wrong?", "### Every mistake, and what is right"),
        "## How was it done?",
        *("### What was run and on what", "### How to repeat", "### Settings", "### Every value", "### Pedigree"),
        "## This machine",
        *("### Training and sampling", "### Quality against sampling time", "### The cost model against the clock"),
        "### What saves time and memory",
        *("### One-pass models against the clock", "### Looking at a training", "### Experiments on their machines"),
        *("### Machines", "### Files of times"),
    ]


def test_the_side_bar_names_every_question_and_chapter_in_order(built: StudyTree) -> None:
    text = (built.out / "report.html").read_text()
    side = re.findall(r'<a href="#[^"]*">([^<]*)</a>', text.split("<nav")[1].split("</nav>")[0])
    assert side == [heading.lstrip("# ") for heading in page(built).headings]


def test_the_report_opens_with_question_answer_images_steps_and_verdicts(built: StudyTree) -> None:
    opening = markdown(built).split("## In short")[1].split("\n## ")[0]
    question = "**Test digits: does Improved DDPM make better images than DDPM, and in how few steps?**"
    answer = [
        "- Of 3 pairs with the same sampler and steps",
        "- Of 2 claims",
        "held-out real images themselves score",
        "It is not FID",
    ]
    shown = ["figures/real-generated.png", "figures/quality-steps.svg", "tables/verdicts.csv"]
    places = [opening.index(part) for part in (question, *answer, *shown)]
    assert places == sorted(places)


def test_each_verdict_has_a_sign_and_leads_to_its_evidence(built: StudyTree) -> None:
    text = (built.out / "report.html").read_text()
    opening = text.split('id="table-verdicts"')[1].split("</table>")[0]
    assert re.findall(r'<span class="(\w+)">([^<]*)</span>', opening) == [("holds", "✓ holds")] * 2
    assert re.findall(r"href=#(c\d)>", opening) == ["c1", "c2"]
    assert {"c1", "c2"} <= set(page(built).ids)


def test_samplers_are_named_as_people_write_them_but_where_settings_stand(built: StudyTree) -> None:
    text = markdown(built).split("### What was run and on what")[0] + timings(built).split("## Machines")[0]
    prose = re.sub(r"\([^)]*\.(png|svg|csv|tex)\)|`[^`]*`", "", text)
    assert "DDIM, 5 steps" in prose
    assert re.findall(r"[^ |]*\b(?:ancestral|ddim|classifier)-\d+[^ |]*", prose) == []


def test_numbers_in_markdown_are_those_of_the_csv(built: StudyTree) -> None:
    for name in ("experiment-comparison", "quality", "experiment-parts"):
        rows = list(csv.reader(io.StringIO((built.out / "tables" / f"{name}.csv").read_text())))
        shown = (built.out / "tables" / f"{name}.md").read_text()
        assert shown.split("\n\n")[1] in markdown(built)
        in_csv = {cell for row in rows[1:] for cell in row if re.fullmatch(r"-?[0-9.]+", cell)}
        in_markdown = {n.rstrip(".") for n in re.findall(r"-?[0-9][0-9,]*\.?[0-9]*", shown.split("\n\n")[1])}
        assert in_csv <= {n.replace(",", "") for n in in_markdown} | {n.rstrip(",") for n in in_markdown}


def test_each_table_is_there_in_three_formats(built: StudyTree) -> None:
    names = {path.stem for path in (built.out / "tables").iterdir()}
    assert "experiment-comparison" in names
    assert {p.name for p in (built.out / "tables").iterdir()} == {
        f"{n}.{s}" for n in names for s in ("csv", "md", "tex")
    }


def test_each_figure_is_there_as_png_and_svg(built: StudyTree) -> None:
    assert {path.name for path in (built.out / "figures").iterdir()} == {
        f"{name}.{suffix}"
        for name in (
            "classes",
            "during-training",
            "experiment-comparison",
            "experiment-parts",
            "experiment-samplers",
            "experiment-stochasticity",
            "experiment-variations",
            "loss-curves",
            "loss-quartiles",
            "neighbours",
            "one-pass-losses",
            "one-pass-samples",
            "prediction-errors",
            "previews",
            "quality-steps",
            "real-generated",
            "resolution",
            "reverse-steps",
            "reverse-steps-images",
            "sample-count",
            "samples-baseline",
            "samples-improved",
            "same-noise",
            "samples-improved-guided",
            "schedules",
            "steadiness",
            "weightings",
        )
        for suffix in ("png", "svg")
    }


def test_every_row_of_the_comparison_leads_to_its_files(built: StudyTree) -> None:
    rows = table(built, "experiment-comparison")
    pedigree = table(built, "pedigree")
    files = {row["Id"]: row["File"] for row in pedigree}
    found = [files[i] for i in rows[0]["From"].split()]
    assert found == [f"runs/smoke/{run}/seed0/metrics/ancestral-50.json" for run in ("baseline", "improved")]


def test_metrics_json_holds_run_setting_metric_and_no_timing(built: StudyTree) -> None:
    metrics = read_json(built.out / "metrics.json")
    assert set(metrics) == {"real", "baseline", "improved", "dcgan", "wgan-gp", "vae"}
    assert metrics["vae"]["likelihood"] == {"bits_per_dim": 4.5}
    assert set(metrics["real"]) == {"held-out", "noise"}
    assert set(metrics["baseline"]["ancestral-5"]) == set(METRICS)
    assert not re.search("second|ms_|throughput", (built.out / "metrics.json").read_text())


def test_claims_json_names_the_files_of_both_sides(built: StudyTree) -> None:
    claim = read_json(built.out / "claims.json")[0]
    assert claim["verdict"] == "holds"
    assert claim["files"] == [f"runs/smoke/{run}/seed0/metrics/ancestral-5.json" for run in ("improved", "baseline")]


def test_no_value_is_called_fid_in_efficientnet_features(built: StudyTree) -> None:
    # Apart from what the documents say.
    text = re.sub(r"\n## What did the documents .*?(?=\n## )", "", markdown(built), flags=re.DOTALL)
    assert "Fréchet distance in EfficientNet-Lite0 features" in text
    assert re.findall(r"\bFIDs?\b[^.]{0,20}", text) == [
        "FID, which is a Fréchet",
        "FID as printed there | ",
        "FID, cosine against lin",
        "FID of 205 from 100 ima",
    ]
    assert "Inception score" not in text


def test_an_experiment_of_several_seeds_pools_them(built: StudyTree) -> None:
    (row,) = table(built, "experiment-spread")
    # 75 + 200·(1 + seed/10)/5 for the seeds 0, 1 and 2: 115, 119 and 123.
    assert row["Fréchet distance (lower is better)"] == "119.0"


def test_what_no_experiment_has_trained_yet_says_so_and_how_it_is_made(built: StudyTree) -> None:
    rows = table(built, "experiment-schedule")
    row = next(row for row in rows if row["Schedule"] == "linear")
    assert row["State"] == row["Fréchet distance (lower is better)"] == "not run"
    assert "`snakemake --cores 8 ablations`" in markdown(built)


def test_nothing_run_says_so_and_shows_no_figure_of_results(nothing_run: StudyTree) -> None:
    assert {path.stem for path in (nothing_run.out / "figures").iterdir()} == {"schedules", "weightings"}
    rows = table(nothing_run, "experiment-comparison")
    assert {row["DDPM, Fréchet distance (lower is better)"] for row in rows} == {"not run"}
    assert read_json(nothing_run.out / "claims.json")[0]["verdict"] == "not run"
    assert read_json(nothing_run.out / "metrics.json") == {}
    assert "of DDPM and Improved DDPM: not run." in markdown(nothing_run)


def test_timings_that_are_absent_say_not_recorded(nothing_run: StudyTree) -> None:
    rows = table(nothing_run, "training-cost", "timings")
    assert {row["Training time (s)"] for row in rows} == {"not recorded"}


def test_likelihood_has_no_section_without_its_file(built: StudyTree) -> None:
    assert "Likelihood" not in page(built).headings


def other_key(job: Job) -> Job:
    """The same job as other code would have it."""
    other = copy.copy(job)
    object.__setattr__(other, "key", "another key")
    return other


def test_a_report_says_what_changed_for_the_worse(tmp_path: Path) -> None:
    """One more build: the improved run loses, one ablation is stale, likelihoods exist."""
    tree = StudyTree(tmp_path, SMOKE).everything()
    for setting in ("ancestral-50", "ancestral-5", "ddim-5"):
        tree.set_distance("improved", setting, 900.0)
        tree.set_distance("baseline", setting, 100.0)
    tree.run(tree.loaded.ablations["width-halved"], 0)
    write_ablations(tree.loaded, tree.plan, tree.root)
    for run, value in (("baseline", 3.2), ("improved", 3.6)):
        bits = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 24, "interval": "95 % t-interval"}
        nll = {"metrics": {"bits_per_dim": bits}, "parts": {"prior": 0.001, "steps": value - 0.5, "decoder": 0.499}}
        write_json(tree.folder(run) / "likelihood" / "nll.json", nll)
        terms = "t,bits_per_dim,mse_eps,mse_x0\n0,0.499,0.9,0.1\n1,1.5,0.8,0.2\n2,1.3,0.7,0.3\n"
        write_atomically(tree.folder(run) / "likelihood" / "terms.csv", terms)
    jobs = tree.plan.jobs
    stale = {**jobs, "train/width-halved/seed0": other_key(jobs["train/width-halved/seed0"])}
    build_report(tree.loaded, replace(tree.plan, jobs=stale), tree.root, tree.out)
    text = markdown(tree)
    assert "Improved DDPM is clearly better in none, DDPM in all 3 (most with" in text
    assert read_json(tree.out / "claims.json")[0]["verdict"] == "does not hold"
    assert "made with other settings or code" in (tree.out / "tables" / "experiment-parts.csv").read_text()
    assert "3.200 [3.100, 3.300]" in text
    assert "By the variational bound, DDPM gives held-out images the higher likelihood" in text
    assert (tree.out / "figures" / "bound.svg").stat().st_size > 0
    assert "altered since" in text

"""What a verification found: on the terminal, as verify.json, as a page, and as the badge that is committed."""

import datetime
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Group
from rich.table import Table as Printed
from rich.text import Text

from rediffuse.errors import one_line
from rediffuse.files import write_atomically
from rediffuse.formats import write_json
from rediffuse.reporting.render.blocks import Bullets, Chapter, Lead, numbered
from rediffuse.reporting.render.pages import Part, page
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.values import Mark, counted, listed, short, whole
from rediffuse.verification.judge import ABSOLUTE, IN_WORDS, PIXELS, RELATIVE, STATED, FileResult, Finding, State
from rediffuse.verification.noise import LEVEL
from rediffuse.verification.parts import DIGITS
from rediffuse.verification.run import Outcome

#: Findings that the terminal shows, and that the page does at most; verify.json holds all.
SHOWN, LISTED = 12, 1000
COLOURS = {State.EQUAL: "green", State.WITHIN: "green", State.UNJUDGED: "yellow"}
PARTS = {
    None: "the report of {}",
    "report": "the report of {}, but for what its experiments train,",
    "headline": "the headline of {}",
}
README, MARKS = "README.md", ("<!-- verified {} -->", "<!-- /verified -->")


def kinds(files: Iterable[FileResult]) -> dict[str, list[FileResult]]:
    """Files by kind: those of a folder together, by how they end."""
    found: dict[str, list[FileResult]] = {}
    for one in files:
        path = PurePosixPath(one.path)
        kind = one.path if len(path.parts) == 1 else f"{path.parts[0]}/*{path.suffix}"
        found.setdefault(kind, []).append(one)
    return found


def verdict(outcome: Outcome) -> str:
    """The outcome in a sentence."""
    what = PARTS[outcome.request.only].format(outcome.study)
    if outcome.against and not outcome.changes:
        begin = f"No job's key differs between {short(outcome.against)} and {_state(outcome)}, so nothing was rebuilt"
    else:
        begin = f"{_state(outcome)[:1].upper()}{_state(outcome)[1:]} was rebuilt ({counted(outcome.rebuilt, 'job')})"
    compared = "" if not outcome.against else f"; compared with the report at {short(outcome.against)}"
    unjudged = outcome.counts["numbers"][State.UNJUDGED]
    end = "is confirmed" + (f", but for {counted(unjudged, 'number')} that were not judged" if unjudged else "")
    if outcome.differs:
        wrong = {name: sum(c[s] for s in (State.DIFFERENT, State.ABSENT)) for name, c in outcome.counts.items()}
        parts = [counted(count, name.removesuffix("s")) for name, count in wrong.items() if count]
        end = f"is not confirmed: {listed(parts)} different or absent"
    elif outcome.undecided:
        end = f"cannot be judged, since {counted(outcome.undecided, 'number')} moved and nothing tells how far they may"
    return f"{begin}{compared}: {what} {end}."


def _state(outcome: Outcome) -> str:
    return "the working tree" if outcome.request.here else f"commit {short(outcome.commit)}"


def machines(outcome: Outcome) -> str:
    """On what it was made and judged."""
    said = "; ".join(outcome.said_on) or "on a machine that it does not tell"
    if not outcome.elsewhere:
        return f"The same kind of machine as the report's ({outcome.made_on}): only rounding may differ."
    if outcome.noise is None:
        noise = "nothing tells how far, as the study trains no run with two seeds"
    else:
        factors = ", ".join(f"{name} {factor:.2f}" for name, factor in sorted(outcome.noise.factors.items()))
        noise = (
            f"as far as trainings with other seeds do, at a level of {LEVEL:.0%} for all at once: "
            f"{outcome.noise.quantile:.1f} × √2 × standard error × a factor by metric ({factors}; Student's t with "
            f"{counted(outcome.noise.freedom, 'degree')} of freedom)"
        )
    moved = f"Numbers that trainings decide may move: {noise}."
    return f"Another kind of machine ({outcome.made_on}) than the report's ({said}). {moved}"


def printed(outcome: Outcome) -> Group:
    """What the terminal shows."""
    table = Printed(pad_edge=False)
    table.add_column("")
    for title in ("Files", *map(_title, State), "Numbers", *map(_title, State)):
        table.add_column(title, justify="right")
    for kind, members in kinds(outcome.files).items():
        files, numbers = Counter(one.state for one in members), sum((m.numbers for m in members), Counter[State]())
        table.add_row(Text(kind), *_cells(files), *_cells(numbers))
    table.add_section()
    table.add_row(Text("all"), *_cells(outcome.counts["files"]), *_cells(outcome.counts["numbers"]))
    wrong = _wrong(outcome.files)
    lines = [Text(f"  {_told(one)}", style="red") for one in wrong[:SHOWN]]
    if len(wrong) > SHOWN:
        lines.append(Text(f"  and {whole(len(wrong) - SHOWN)} more"))
    changes = [Text(f"  {name}: {why}") for name, why in list(outcome.changes.items())[:SHOWN]]
    if outcome.changes:
        changes.insert(0, Text(f"Jobs with another key ({len(outcome.changes)}):"))
    style = "bold red" if outcome.differs else "bold yellow" if outcome.undecided else "bold green"
    end = Text(verdict(outcome), style=style)
    return Group(Text(machines(outcome)), *changes, table, *lines, end)


def _title(state: State) -> str:
    return IN_WORDS[state].removesuffix(" tolerance").removesuffix(" bytes")


def _cells(counts: Counter[State]) -> list[Text]:
    cells = [Text(whole(counts[state]) if counts[state] else "", style=COLOURS.get(state, "red")) for state in State]
    return [Text(whole(counts.total()), style="bold"), *cells]


def _wrong(files: Iterable[FileResult]) -> list[Finding]:
    """What is different or absent, first the settings and keys that the rest may come from."""
    wrong = [f for one in files for f in one.findings if f.state in (State.DIFFERENT, State.ABSENT)]
    causes = [f"tables/{name}.csv" for name in STATED]
    return sorted(wrong, key=lambda f: causes.index(f.file) if f.file in causes else len(causes))


def _told(one: Finding) -> str:
    where = one_line(f"{one.file}: {one.place}" if one.place else one.file)
    values = [f"{whose} {_short(text)}" for whose, text in (("report", one.said), ("rebuild", one.made)) if text]
    more = "; ".join(filter(None, (", ".join(values), _relative(one), one.why)))
    return f"{where} {IN_WORDS[one.state]}{': ' if more else ''}{more}"


def _short(text: str) -> str:
    return one_line(text, 60)


def _relative(one: Finding) -> str:
    try:
        said, made = float(one.said), float(one.made)
    except ValueError:
        return ""
    return f"{made / said - 1:+.2%}" if said else ""


def record(outcome: Outcome) -> dict[str, Any]:
    """What verify.json holds."""
    noise = outcome.noise
    return {
        "study": outcome.study,
        "part": outcome.request.only or "whole",
        "commit": None if outcome.request.here else outcome.commit,
        "against": outcome.against,
        "differs": outcome.differs,
        "verdict": verdict(outcome),
        "date": _now(),
        "seconds": round(outcome.seconds, 1),
        "jobs_rebuilt": outcome.rebuilt,
        "changed_jobs": outcome.changes,
        "machine": outcome.machine,
        "environment": outcome.versions,
        "report_made_on": outcome.said_on,
        "elsewhere": outcome.elsewhere,
        "tolerance": {"relative": RELATIVE, "absolute": ABSOLUTE, "printed_digits": DIGITS, "pixels": PIXELS},
        "noise": None
        if noise is None
        else {
            "level": LEVEL,
            "quantile": noise.quantile,
            "freedom": noise.freedom,
            "factors": noise.factors,
            "final_loss": noise.loss,
        },
        "counts": _counts(outcome),
        "files": [
            {
                "path": one.path,
                "state": one.state,
                "numbers": {state: one.numbers[state] for state in State if one.numbers[state]},
                "findings": [
                    {"place": f.place, "report": f.said, "rebuild": f.made, "state": f.state, "why": f.why}
                    for f in one.findings
                ],
            }
            for one in outcome.files
        ],
    }


def _counts(outcome: Outcome) -> dict[str, dict[str, int]]:
    return {name: {state: count[state] for state in State} for name, count in outcome.counts.items()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def html(outcome: Outcome) -> str:
    """The page."""
    summary, details, moved = Rows(), Rows(), Rows()
    states = list(reversed(State))  # the worst first: a narrow screen shows no more
    for kind, members in (("all", outcome.files), *kinds(outcome.files).items()):
        files, numbers = Counter(one.state for one in members), sum((m.numbers for m in members), Counter[State]())
        for what, counts in (("files", files), ("numbers", numbers)):
            if counts:
                summary.add(kind, what, *(counts[state] for state in states), counts.total())
    for one in _wrong(outcome.files)[:LISTED]:
        mark = Mark("✗", IN_WORDS[one.state], "fails")
        details.add(one.file, mark, one.place, _short(one.said), _short(one.made), _relative(one), one.why)
    for one in (f for file in outcome.files for f in file.findings if f.state is State.WITHIN):
        moved.add(one.file, one.place, one.said, one.made, _relative(one), one.why)
    columns = "Place | Report | Rebuild | Change | Why"
    tables = [
        Table(
            "counts",
            "What became of files and numbers.",
            headers("`What` | Of it", (IN_WORDS[state] for state in states), "all"),
            summary,
        ),
        Table("wrong", "What is different or absent.", headers("`File` | Verdict | " + columns), details),
        Table("moved", "What moved no further than noise.", headers("`File` | " + columns), moved, folded=True),
    ]
    changed = Rows((name, why) for name, why in outcome.changes.items())
    tables.insert(1, Table("changes", "Jobs whose key differs, and in what.", headers("`Job` | What differs"), changed))
    told = (Lead(verdict(outcome)), machines(outcome))
    chapter = Chapter("verified", "", (*told, *(table for table in tables if table.rows), RULES))
    title = f"Verification: {outcome.title}"
    part = Part("verify", title, (), numbered([("", "", [chapter])]), "", "")
    return page([part], "Made by `rediffuse verify`, which keeps all of it in `verify.json`.")


RULES = Bullets(
    (
        f"Within tolerance: floats that differ by less than {RELATIVE:g} in proportion; printed numbers of {DIGITS} or "
        "more digits whose last digit alone differs, by one; figures whose pixels differ by at most "
        f"{PIXELS} levels of 255.",
        "Numbers are counted in metrics.json, claims.json, the evidence, report.md and the tables' CSV; the other "
        "forms of a table, and figures, are drawn from the same numbers, and counted as files.",
        "On another kind of machine pages and figures, and numbers of which no noise is measured, are not judged by "
        "themselves; settings, and the keys of settings and code, must be the same there too.",
        "Files of times (timings.md, timings/, report.html) are not compared: they differ from run to run.",
    )
)


def write(outcome: Outcome, root: Path) -> Path:
    """Write verify.json, verify.html and, of a commit that is what its report says, the badge; the page's path."""
    folder = root / "reports" / outcome.study
    write_json(folder / "verify.json", record(outcome))
    write_atomically(folder / "verify.html", html(outcome))
    asked = outcome.request
    if not (
        outcome.differs or outcome.undecided or asked.here or asked.against or asked.threads or asked.only == "headline"
    ):
        write_json(folder / "verified.json", badge(outcome))
        show_badge(root, outcome.study, badge(outcome))
    return folder / "verify.html"


def badge(outcome: Outcome) -> dict[str, Any]:
    """What is committed of a verification; the machine in neutral words."""
    here = outcome.machine
    return {
        "study": outcome.study,
        "part": outcome.request.only or "whole",
        "commit": outcome.commit,
        "date": _now()[:10],
        "machine": {"processor": here["cpu"], "cores": here["cores"], "threads": here["threads"]},
        "same_kind_of_machine": not outcome.elsewhere,
        "counts": _counts(outcome),
    }


def sentence(badge: dict[str, Any]) -> str:
    """A badge in words, as the README has it."""
    here, files, numbers = badge["machine"], badge["counts"]["files"], badge["counts"]["numbers"]
    part = {"whole": "", "report": ", without what its experiments train,"}[badge["part"]]
    kind = "the same kind of machine as the report's" if badge["same_kind_of_machine"] else "another kind of machine"
    return (
        f"Verified: commit `{short(badge['commit'])}` was rebuilt{part} on {badge['date']} on {kind} "
        f"({here['processor']}, {counted(here['cores'], 'core')}). Files: {_states(files)}; "
        f"numbers: {_states(numbers)}."
    )


def _states(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[state]:,} {IN_WORDS[state]}" for state in State if counts[state])


def show_badge(root: Path, study: str, badge: dict[str, Any]) -> None:
    """Write the badge's sentence where the README has a place for it."""
    path, (begin, end) = root / README, (MARKS[0].format(study), MARKS[1])
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    shown = re.sub(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", lambda _: sentence(badge), text, flags=re.DOTALL)
    if shown != text:
        write_atomically(path, shown)

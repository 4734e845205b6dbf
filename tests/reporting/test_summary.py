import subprocess
import sys

from rich.console import Console

from rediffuse.reporting import terminal_summary
from tests.reporting.study_tree import StudyTree


def shown(tree: StudyTree) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal_summary(tree.loaded, tree.plan, tree.root))
    return console.export_text()


def test_the_summary_shows_values_claims_and_where_to_look_next(tree: StudyTree) -> None:
    text = shown(tree)
    assert "Of 3 pairs with the same sampler and steps, compared by" in text
    assert "615.0" in text  # 75 + 3·900/5
    assert "Of 2 claims, 2 hold." in text
    for place in ("reports/smoke/report.html", "make ui", "mlflow ui", "dvc metrics show"):
        assert place in text


def test_the_summary_of_nothing_says_not_run(empty_tree: StudyTree) -> None:
    assert "not run" in shown(empty_tree)


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, rediffuse.reporting; "
        "print([m for m in ('pandas', 'matplotlib', 'torch', 'rich') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

"""The digest of a stage's code covers what the stage runs, and DVC looks at those files too."""

import ast
from pathlib import Path

import pytest
import yaml

from rediffuse.pipeline import code
from rediffuse.pipeline.code import PACKAGE, code_digest, modules

ROOT = PACKAGE.parents[1]
STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


def files(stage: str) -> set[Path]:
    return {code._path(name).relative_to(ROOT) for name in modules(f"rediffuse.stages.{stage}")}


def test_training_runs_the_network_the_objective_and_the_trainer():
    names = modules("rediffuse.stages.train")
    assert {"rediffuse.models.unet", "rediffuse.diffusion.objectives", "rediffuse.training.adam"} <= names


def test_a_sampler_that_training_does_not_use_is_none_of_its_code():
    assert "rediffuse.samplers.ddim" in modules("rediffuse.stages.train")
    assert "rediffuse.samplers.plms" not in modules("rediffuse.stages.train")
    assert "rediffuse.samplers.plms" in modules("rediffuse.stages.sample")


@pytest.mark.parametrize("package", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_packages_only_import_so_that_passing_through_one_changes_nothing(package: Path):
    for node in ast.parse(package.read_text()).body:
        names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_docstring or isinstance(node, ast.Import | ast.ImportFrom) or names in (["__all__"], ["__version__"])


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_watches_every_file_of_a_stages_code(stage: str):
    entry = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    stage = stage.removesuffix("-generators")  # the same job of another kind of model
    watched = [Path(dependency) for dependency in entry["deps"] if dependency.startswith("src/")]
    missed = {str(file) for file in files(stage) if not any(file.is_relative_to(path) for path in watched)}
    assert missed == set()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules in place of rediffuse: a imports b."""
    folder = tmp_path / "rediffuse"
    folder.mkdir()
    (folder / "a.py").write_text("from rediffuse.b import number\n\n\ndef double():\n    return 2 * number\n")
    (folder / "b.py").write_text("number = 1\n")
    monkeypatch.setattr(code, "PACKAGE", folder)
    return folder


@pytest.fixture(autouse=True)
def forget():
    """What was read from the small package is not taken for the real one."""
    yield
    clear_caches()


def clear_caches() -> None:
    for function in (code_digest, code._parsed):
        function.cache_clear()


def digest() -> str:
    clear_caches()
    return code_digest("rediffuse.a")


def test_comments_docstrings_and_layout_do_not_change_the_digest(package: Path):
    before = digest()
    (package / "a.py").write_text(
        '"""A module."""\nfrom rediffuse.b import number\ndef double():\n    """Twice."""\n    return (2 * number)  # !\n'
    )
    assert digest() == before


def test_a_statement_changes_the_digest(package: Path):
    before = digest()
    (package / "a.py").write_text((package / "a.py").read_text().replace("2", "3"))
    assert digest() != before


def test_a_statement_of_an_imported_module_changes_the_digest(package: Path):
    before = digest()
    (package / "b.py").write_text("number = 2\n")
    assert digest() != before


def test_an_import_inside_a_function_counts(package: Path):
    (package / "a.py").write_text("def double():\n    from rediffuse.b import number\n    return 2 * number\n")
    before = digest()
    (package / "b.py").write_text("number = 2\n")
    assert digest() != before


def test_what_was_read_is_read_from_its_file_the_next_time(package: Path, monkeypatch: pytest.MonkeyPatch):
    before = digest()
    monkeypatch.setattr(code, "_parse", lambda content: pytest.fail("a module was parsed again"))
    assert digest() == before


def test_a_damaged_file_of_what_was_read_changes_nothing(package: Path):
    before = digest()
    for file in package.glob("__pycache__/statements.*.json"):
        file.write_text("{")
    assert digest() == before

"""The digest of a job's code covers what the job can reach, definition by definition, and nothing else."""

from pathlib import Path

import pytest

from rediffuse.pipeline import code
from rediffuse.pipeline.code import code_digest, reached, strings

A = """\
import json

from rediffuse.b import number
from rediffuse import c
from rediffuse.registry import Registry, Way, load

WAYS = Registry("way", Way("one", "rediffuse.c:first"), Way("two", "rediffuse.c:second", title="a title"))
UNUSED = 1


def run():
    return 2 * number


def picks(name):
    return load(WAYS[name].code)


def walks():
    return [load(way.code) for way in WAYS.values()]


def module():
    return c.first() + json.loads("1")
"""
B = "number = 1\nother = 2\n"
C = "def first():\n    return helper()\n\n\ndef second():\n    return 2\n\n\ndef helper():\n    return 1\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of three modules in place of rediffuse."""
    folder = tmp_path / "rediffuse"
    folder.mkdir()
    for name, text in (("a", A), ("b", B), ("c", C)):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(code, "PACKAGE", folder)
    return folder


@pytest.fixture(autouse=True)
def forget():
    """What was read from the small package is not taken for the real one."""
    yield
    clear_caches()


def clear_caches() -> None:
    for function in (code._digest, code._modules, code._entry_names):
        function.cache_clear()


def digest(entry: str = "rediffuse.a:run", said: tuple[str, ...] = ()) -> str:
    clear_caches()
    return code_digest(entry, said)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "def run():", '"""A module."""\n\n\ndef run():\n    """Doubles."""  # a remark'),
        ("a.py", "2 * number", "(2 *  number)"),
        ("a.py", "import json", "import json\nimport math"),
        ("a.py", "UNUSED = 1", "UNUSED = 2"),
        ("b.py", "other = 2", "other = 3"),
        ("c.py", "return 2", "return 3"),
    ],
)
def test_what_a_job_does_not_reach_and_layout_do_not_change_the_digest(package: Path, file: str, old: str, new: str):
    before = digest()
    edit(package / file, old, new)
    assert digest() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "2 * number", "3 * number"),
        ("b.py", "number = 1", "number = 2"),
        ("b.py", "number = 1", "number = 1\nnumber += 1"),
        ("b.py", "number = 1", "number = 1\nprint(number)"),
    ],
)
def test_what_a_job_reaches_changes_the_digest(package: Path, file: str, old: str, new: str):
    before = digest()
    edit(package / file, old, new)
    assert digest() != before


def test_a_function_of_an_imported_module_counts_with_what_it_calls_itself(package: Path):
    before = digest("rediffuse.a:module")
    edit(package / "c.py", "return 2", "return 3")
    assert digest("rediffuse.a:module") == before
    edit(package / "c.py", "return 1", "return 4")
    assert digest("rediffuse.a:module") != before


def test_of_a_registry_only_the_entries_count_that_settings_name(package: Path):
    one, two = (digest("rediffuse.a:picks", (name,)) for name in ("one", "two"))
    assert one != two
    edit(package / "c.py", "return 2", "return 3")
    assert digest("rediffuse.a:picks", ("one",)) == one
    assert digest("rediffuse.a:picks", ("two",)) != two


def test_of_a_registry_in_which_nothing_is_named_or_that_is_gone_through_all_entries_count(package: Path):
    unnamed, walked = digest("rediffuse.a:picks", ("three",)), digest("rediffuse.a:walks", ("one",))
    edit(package / "c.py", "return 2", "return 3")
    assert digest("rediffuse.a:picks", ("three",)) != unnamed
    assert digest("rediffuse.a:walks", ("one",)) != walked


def test_facts_of_an_entry_do_not_count(package: Path):
    before = digest("rediffuse.a:walks")
    edit(package / "a.py", "a title", "another title")
    assert digest("rediffuse.a:walks") == before


def test_words_of_an_error_and_descriptions_of_settings_do_not_count(package: Path):
    edit(
        package / "b.py", "number = 1", 'number = Field(1, description="a number")\n\n\ndef check():\n    raise E("no")'
    )
    before = digest("rediffuse.b:check"), digest()
    edit(package / "b.py", '"no"', '"never"')
    edit(package / "b.py", "a number", "one number")
    assert (digest("rediffuse.b:check"), digest()) == before


def test_an_import_inside_a_function_counts(package: Path):
    edit(package / "b.py", "number = 1", "def number():\n    from rediffuse.c import second\n\n    return second()")
    before = digest()
    edit(package / "c.py", "return 2", "return 3")
    assert digest() != before


def test_strings_are_gathered_from_keys_and_values_at_any_depth():
    assert strings({"a": ["b", {"c": "d"}], "e": 1, "f": None}) == {"a", "b", "c", "d", "e", "f"}


def test_what_was_read_is_read_from_its_file_the_next_time(package: Path, monkeypatch: pytest.MonkeyPatch):
    before = digest()
    monkeypatch.setattr(code, "_parse", lambda content: pytest.fail("a module was parsed again"))
    assert digest() == before


@pytest.mark.parametrize("damage", ["{", "[]", '{"a": 1}', "\xff"])
def test_a_damaged_file_of_what_was_read_changes_nothing(package: Path, damage: str):
    before = digest()
    for file in package.glob("__pycache__/definitions.*.json"):
        file.write_text(damage, encoding="latin-1")
    assert digest() == before


def test_training_reaches_the_network_the_loss_and_the_optimiser_and_no_sampler():
    modules = {module for module, _ in reached("rediffuse.stages.train:run", {"unet", "linear"})}
    assert {"rediffuse.models.unet", "rediffuse.diffusion.objectives", "rediffuse.training.adam"} <= modules
    assert [module for module in modules if module.startswith(("rediffuse.samplers", "rediffuse.evaluation"))] == []

"""No call in the source runs what a file holds: read from the source itself, so that a new one is found."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rediffuse"
#: Calls that run what they read, whatever is said to them.
NEVER = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads"}
NEVER |= {"joblib.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "dill.load", "shelve.open"}
#: Calls that do not, given this.
ONLY_WITH = {
    "np.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "np.lib.format.write_array": ("allow_pickle", False),
}
#: A module with its code: the user's own risk, which is said before it is loaded.
TORCHSCRIPT = {"evaluation/features.py": "torch.jit.load"}


def calls() -> Iterator[tuple[str, str, dict[str, object]]]:
    """(file, name of what is called, constant keywords) of every call."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                given = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
                given |= {word.arg: word.value.id for word in node.keywords if isinstance(word.value, ast.Name)}
                yield str(path.relative_to(SOURCE)), ast.unparse(node.func), given


def test_what_a_file_holds_is_never_run():
    found = list(calls())
    assert {name for _, name, _ in found} & NEVER == set()
    assert [file for file, _, given in found if given.get("shell") is True] == []
    for wanted, (key, value) in ONLY_WITH.items():
        assert [file for file, name, given in found if name == wanted and given.get(key) is not value] == []
    assert {given["Loader"] for _, name, given in found if name == "yaml.load"} == {
        "_Loader"
    }  # of yaml12, a SafeLoader
    assert {file: name for file, name, _ in found if name == "torch.jit.load"} == TORCHSCRIPT

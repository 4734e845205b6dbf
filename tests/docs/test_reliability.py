"""The page of reliability says what the scripts have found, and the scripts still find it:
each in its smallest form.
"""

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.reliability import damage, kills, server

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_what_the_results_say():
    made = subprocess.run([sys.executable, DOCS / "make_reliability.py"], capture_output=True, text=True, check=True)
    assert made.stdout == (DOCS / "reliability.md").read_text()


def found(script, tmp_path: Path, name: str, *words: str) -> dict:
    """What a script finds of the first stage alone."""
    script.main(["--folder", str(tmp_path / "work"), "--results", str(tmp_path), "--stages", "prepare", *words])
    assert not (tmp_path / "work").exists()
    return json.loads((tmp_path / f"{name}.json").read_text())


def test_a_killed_job_ends_with_the_same_bytes(tmp_path: Path):
    result = found(kills, tmp_path, "kills-job", "--by", "job", "--jobs-each", "1")
    assert result["kills"] == result["by stage"]["prepare"]["KILL"] <= 1
    assert result["end"]["different"] == []
    assert (
        result["end"]["files"] == 6
    )  # images, labels, held-out images, card, receipt, and what git keeps of ablations


def test_every_damage_to_a_file_is_noticed(tmp_path: Path):
    result = found(damage, tmp_path, "damage")
    assert result["files"] == result["made again"] == 5
    assert result["cases"] == result["noticed"] > 5 * 6
    assert result["wrong"] == []


@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounts need a namespace of their own")
def test_a_full_disk_is_one_line_and_the_job_goes_on_when_there_is_room(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.reliability.disk",
        "--parts",
        "jobs",
        "--each",
        "1",
        "--stages",
        "prepare",
    ]
    where = ["--folder", str(tmp_path / "work"), "--results", str(tmp_path)]
    done = subprocess.run([*command, *where], cwd=DOCS.parent, capture_output=True, text=True)
    if "Operation not permitted" in done.stderr:
        pytest.skip("this machine gives no namespace for mounts")
    result = json.loads((tmp_path / "disk-jobs.json").read_text())
    assert {kind: tally["wrong"] for kind, tally in result["jobs"].items()} == {
        kind: [] for kind in ("full disk", "limit of a file's length", "read-only folder")
    }
    assert result["jobs"]["full disk"]["failures"] == 1
    assert result["different"] == []


@pytest.fixture
def answering() -> Iterator[int]:
    """The port of a server that answers every request with "yes"."""

    class Yes(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"yes")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Yes) as there:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        yield there.server_address[1]
        there.shutdown()


def test_the_relay_hands_on_so_many_requests_and_then_misbehaves(answering: int):
    wrong = server.WRONG["answers with a web page"]
    assert wrong is not None
    relay = server.Relay(answering, 2, wrong)
    answers = [urllib.request.urlopen(relay.uri, timeout=10).read()[:9] for _ in range(3)]
    relay.shutdown()
    relay.server_close()
    assert answers == [b"yes", b"yes", b"<!doctype"]
    with pytest.raises(OSError):
        socket.create_connection(relay.server_address, timeout=1)

"""Trains while the tracking server is down, slow, or answers nonsense, from its first answer on or some answers later.

A real `mlflow server` stands behind a relay that hands on so many requests and then misbehaves. The training logs while
it works, as one of hours does. It must end with the same bytes; then the relay is mended, and `rediffuse track` must
bring the server to what one that was never lost holds.

    python -m benchmarks.reliability.server
"""

import contextlib
import http.client
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability.project import Clone, Forked, built, parser, record, scratch
from benchmarks.reliability.writers import compared, contents

#: What an answer of it may hang by: longer than any patience of ours.
FOR_EVER = 1000.0
Answer = Callable[[socket.socket], None]


def _send(content: bytes, kind: str = "text/html", status: str = "200 OK") -> Answer:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return lambda client: client.sendall(head.encode() + content)


def _silent(client: socket.socket) -> None:
    time.sleep(FOR_EVER)


def _drip(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        client.sendall(b" ")
        time.sleep(1)


def _flood(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    end = time.monotonic() + 20
    while time.monotonic() < end:
        client.sendall(b"[" * 4096)
        time.sleep(0.01)


#: How a server misbehaves. What takes the place of each answer; None: no server listens at all.
WRONG: dict[str, Answer | None] = {
    "is down": None,
    "accepts and never answers": _silent,
    "sends a byte a second": _drip,
    "never ends an answer": _flood,
    "closes the connection": lambda client: None,
    "answers with a web page": _send(b"<!doctype html><title>Log in</title>" + b"<p>" * 1000),
    "answers with another JSON": _send(b'["no", {"experiment": 5}]', "application/json"),
    "answers with JSON of wrong types": _send(b'{"experiment": 5, "run": "x", "runs": {}}', "application/json"),
    "answers with half a JSON": _send(b'{"experiment": {"experiment_id":', "application/json"),
    "answers with noise": lambda client: client.sendall(bytes(range(256)) * 40),
    "answers with error 500": _send(b"", status="500 Internal Server Error"),
    "answers with error 403": _send(b"{}", "application/json", "403 Forbidden"),
    "redirects to itself": _send(b"", status="302 Found\r\nLocation: /health"),
}


class Relay(socketserver.ThreadingTCPServer):
    """Hands requests on to a server, each after a delay, until `good` are through; then it does what is wrong."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, server: int, good: int, wrong: Answer, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.server, self.left, self.wrong, self.delay = server, good, wrong, delay
        self.counting = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to complain of."""

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    server: Relay

    def handle(self) -> None:
        first = self.rfile.readline().decode(errors="replace").split()
        if len(first) != 3:
            return
        headers = http.client.parse_headers(self.rfile)
        body = self.rfile.read(int(headers.get("Content-Length", 0)))
        with self.server.counting:
            good = self.server.left > 0
            self.server.left -= 1
        if not good:
            self.server.wrong(self.connection)
            return
        time.sleep(self.server.delay)
        onward = http.client.HTTPConnection("127.0.0.1", self.server.server, timeout=60)
        kept = {name: value for name, value in headers.items() if name.lower() not in ("connection", "host")}
        onward.request(first[0], first[1], body, kept)
        answer = onward.getresponse()
        _send(answer.read(), answer.headers.get("Content-Type", ""), f"{answer.status} {answer.reason}")(
            self.connection
        )


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[int]:
    """The port of a real server with an empty store."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{folder}/store.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
    try:
        end = time.monotonic() + 600
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.3)
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)


class Trial:
    """A built project whose training is done anew, looked at by a server."""

    def __init__(self, clone: Clone, port: int) -> None:
        self.clone, self.port, self.number = clone, port, 0
        self.uri = f"http://127.0.0.1:{port}"

    def aim(self, uri: str) -> Callable[[], None]:
        """Set where a forked command logs; a training logs from its first row on."""

        def aimed() -> None:
            from rediffuse.tracking import live

            os.environ["MLFLOW_TRACKING_URI"] = uri
            live.STARTS_AFTER_SECONDS = live.FLUSH_SECONDS = 0.0

        return aimed

    def run(self, words: list[str], uri: str) -> Forked:
        """Run a command to its end."""
        forked = Forked(words, self.clone.folder, self.clone.folder.parent / "job.log", self.aim(uri))
        forked.wait()
        return forked

    def weights(self) -> dict[str, str]:
        """Digests of what the training makes."""
        return self.clone.digests(
            "runs/tiny/baseline/seed0/weights.safetensors", "runs/tiny/baseline/seed0/history.csv"
        )

    def empty(self) -> None:
        """Put aside what the server holds."""
        from mlflow import MlflowClient

        self.number += 1
        client = MlflowClient(self.uri)
        if (there := client.get_experiment_by_name("tiny")) is not None:
            client.rename_experiment(there.experiment_id, f"aside-{self.number}")

    def lost(self, good: int, wrong: Answer | None, delay: float, right: list[Any]) -> dict[str, Any]:
        """One training whose server is lost, and `track` once it is back."""
        self.empty()
        before = self.weights()
        relay = None if wrong is None and not good else Relay(self.port, good, wrong or (lambda client: None), delay)
        forked = self.run(["train", "baseline", "--force"], relay.uri if relay else "http://127.0.0.1:9")
        if relay:
            relay.shutdown()
            relay.server_close()
        lines = [line for line in forked.said if "tracking" in line or "Traceback" in line]
        later = self.run(["track"], self.uri)
        found = compared(contents(self.uri), right) if later.code == 0 else {}
        return {
            "code": forked.code,
            "seconds": round(forked.seconds, 1),
            "same bytes": self.weights() == before,
            "said": lines,
            "track": later.code,
            **found,
        }


def main(arguments: list[str] | None = None) -> None:
    parse = parser(__doc__, "server")
    parse.add_argument("--good", type=int, nargs="*", default=[0, 6, 25], help="requests that are answered before")
    parse.add_argument("--wrong", nargs="*", choices=list(WRONG), default=list(WRONG))
    options = parse.parse_args(arguments)
    began = time.monotonic()
    cases: list[dict[str, Any]] = []
    with scratch(options.folder) as folder, mlflow_server(folder / "server") as port:
        clone, _ = built(folder / "project", options)
        trial = Trial(clone, port)
        whole = trial.run(["train", "baseline", "--force"], trial.uri)
        assert whole.code == 0, whole.said
        assert trial.run(["track"], trial.uri).code == 0
        right = contents(trial.uri)
        slow = [("answers each request after 3 s", 10**6, None, 3.0)]
        for wrong, good, answer, delay in [
            *((name, good, WRONG[name], 0.0) for name in options.wrong for good in options.good),
            *slow,
        ]:
            case = {"server": wrong, "after": good, **trial.lost(good, answer, delay, right)}
            cases.append(case)
            print(case, flush=True)
            record("server", options.results, began, {"seconds with a server": round(whole.seconds, 1), "cases": cases})


if __name__ == "__main__":
    main()

"""Downloads from servers that lie: a line, nothing but the part on disk, and an end. Broken transfers: tests/data."""

import gzip
import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rediffuse import download
from rediffuse.download import RemoteFile, fetch
from rediffuse.errors import UserError

CONTENT = bytes(range(256)) * 40
SMALL = gzip.compress(CONTENT)
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server on loopback that answers so; gives its address."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        servers.append(server := http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/data.bin"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def reply(content: bytes, code: int = 200, **headers: object) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), str(value))
        request.end_headers()
        request.wfile.write(content)

    return answer


def endless(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(bytes(1 << 16))
    except OSError:
        pass


def drip(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(CONTENT)))
    request.end_headers()
    try:
        for byte in CONTENT:
            request.wfile.write(bytes([byte]))
            time.sleep(0.02)
    except OSError:
        pass


def wanted(url: str, size: int | None = len(CONTENT)) -> RemoteFile:
    return RemoteFile("data.bin", (url,), "sha256", hashlib.sha256(CONTENT).hexdigest(), size)


def refused(file: RemoteFile, folder: Path, **options: float) -> str:
    with pytest.raises(UserError) as caught:
        fetch(file, folder, **options)
    assert str(caught.value).isprintable()
    assert not (folder / "data.bin").exists()
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["file", "ftp", "data"])
def test_a_redirection_to_anything_but_the_web_is_not_followed(serve: Serve, tmp_path: Path, scheme: str):
    (tmp_path / "secret").write_bytes(CONTENT)
    url = serve(reply(b"", 302, Location=f"{scheme}://127.0.0.1{tmp_path}/secret"))
    refused(wanted(url), tmp_path / "downloads")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_of_another_host_only_the_right_bytes_are_taken(serve: Serve, tmp_path: Path):
    other = serve(reply(CONTENT)).replace("127.0.0.1", "localhost")
    assert fetch(wanted(serve(reply(b"", 302, Location=other))), tmp_path / "a").read_bytes() == CONTENT
    lies = serve(reply(CONTENT[::-1])).replace("127.0.0.1", "localhost")
    assert "its sha256 is" in refused(wanted(serve(reply(b"", 302, Location=lies))), tmp_path / "b")


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_body_without_end_is_cut(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None):
    monkeypatch.setattr(download, "_MOST", 10**6)
    monkeypatch.setattr(download, "_CONTINUED", 1)
    assert "it sends more than the" in refused(wanted(serve(endless), size), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10**6


def test_a_mirror_that_only_drips_is_left(serve: Serve, tmp_path: Path):
    began = time.monotonic()
    assert "it sends less than 256 bytes a second" in refused(wanted(serve(drip)), tmp_path, timeout_s=0.3)
    assert time.monotonic() - began < 10


def test_a_mirror_that_breaks_off_at_every_byte_is_left(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def one_byte(request: http.server.BaseHTTPRequestHandler) -> None:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        said = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        length = len(CONTENT) - start
        reply(CONTENT[start : start + 1], 206 if start else 200, Content_Range=said, Content_Length=length)(request)

    monkeypatch.setattr(download, "_CONTINUED", 5)
    assert "broke off after 6 of 10,240 bytes" in refused(wanted(serve(one_byte)), tmp_path)


ANSWERS = {
    "a page with status 200": (
        reply(b"<!DOCTYPE html><html>busy</html>", Content_Length=32),
        "it has 32 bytes, not 10,240",
    ),
    "a compressed body": (
        reply(SMALL, Content_Encoding="gzip", Content_Length=len(SMALL)),
        f"it has {len(SMALL)} bytes, not 10,240",
    ),
    "a length that is no number": (reply(CONTENT, Content_Length="many"), "many"),
    "a length that is too small": (reply(CONTENT, Content_Length=100), "it has 100 bytes, not 10,240"),
    "a redirection to itself": (reply(b"", 302, Location="/data.bin"), "infinite loop"),
    "an answer that is none": (lambda request: request.wfile.write(b"\x1b[31m\r\n\r\n"), "data.bin"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_what_is_no_file_is_named(serve: Serve, tmp_path: Path, what: str):
    answer, said = ANSWERS[what]
    assert said in refused(wanted(serve(answer)), tmp_path)

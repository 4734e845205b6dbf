import hashlib

import pytest

from rediffuse.download import RemoteFile, fetch, obtain
from rediffuse.errors import UserError

CONTENT = bytes(range(256)) * 40


def remote(*urls, content=CONTENT):
    return RemoteFile("data.bin", urls, "md5", hashlib.md5(content).hexdigest(), len(content))


def test_a_file_is_fetched_and_verified(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    path = fetch(remote(f"{site.address}/data.bin"), tmp_path)
    assert path == tmp_path / "data.bin"
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_a_verified_copy_is_not_fetched_again(site, tmp_path):
    (tmp_path / "data.bin").write_bytes(CONTENT)
    fetch(remote(f"{site.address}/data.bin"), tmp_path)
    assert site.requests == []


def test_a_damaged_copy_is_fetched_again(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    (tmp_path / "data.bin").write_bytes(CONTENT[:-1] + b"x")
    assert fetch(remote(f"{site.address}/data.bin"), tmp_path).read_bytes() == CONTENT


def test_the_next_mirror_serves_when_the_first_has_no_such_file(site, tmp_path):
    site.files["/good"] = CONTENT
    path = fetch(remote(f"{site.address}/missing", f"{site.address}/good"), tmp_path)
    assert path.read_bytes() == CONTENT


def test_the_next_mirror_serves_when_the_first_has_other_bytes(site, tmp_path):
    site.files["/other"] = CONTENT[::-1]
    site.files["/good"] = CONTENT
    path = fetch(remote(f"{site.address}/other", f"{site.address}/good"), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_transfer_that_breaks_off_is_continued_where_it_stopped(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    site.break_off_after = [1000]
    path = fetch(remote(f"{site.address}/data.bin"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert site.requests == [("/data.bin", None), ("/data.bin", "bytes=1000-")]


def test_bytes_left_by_an_earlier_call_are_continued(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:5000])
    assert fetch(remote(f"{site.address}/data.bin"), tmp_path).read_bytes() == CONTENT
    assert site.requests == [("/data.bin", "bytes=5000-")]


def test_a_server_that_cannot_resume_sends_the_whole_file(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    site.resumes = False
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:5000])
    assert fetch(remote(f"{site.address}/data.bin"), tmp_path).read_bytes() == CONTENT


def test_wrong_bytes_left_by_an_earlier_call_are_thrown_away_and_fetched_anew(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    (tmp_path / "data.bin.part").write_bytes(b"x" * 5000)
    assert fetch(remote(f"{site.address}/data.bin"), tmp_path).read_bytes() == CONTENT


def test_what_arrived_is_kept_when_every_mirror_breaks_off(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    site.break_off_after = [1000, 0]
    with pytest.raises(UserError, match="broke off after 1,000 of 10,240 bytes"):
        fetch(remote(f"{site.address}/data.bin"), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "data.bin").exists()


def test_the_error_names_each_mirror_and_where_to_put_the_file(site, tmp_path):
    site.files["/other"] = CONTENT[::-1]
    with pytest.raises(UserError) as caught:
        fetch(remote(f"{site.address}/missing", f"{site.address}/other"), tmp_path)
    message = str(caught.value)
    assert "/missing: HTTP Error 404" in message
    assert "/other: its md5 is" in message
    assert f"put the file at {tmp_path / 'data.bin'} by hand" in message
    assert "\n" not in message


def test_a_mirror_that_sends_too_much_is_left(site, tmp_path):
    site.files["/long"] = CONTENT + b"x"
    with pytest.raises(UserError, match="more than the 10,240 bytes"):
        fetch(remote(f"{site.address}/long"), tmp_path)


def test_only_web_addresses_are_fetched(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    with pytest.raises(UserError, match="only http and https"):
        fetch(remote(secret.as_uri()), tmp_path / "downloads")


def test_progress_counts_bytes_up_to_the_whole(site, tmp_path):
    site.files["/data.bin"] = CONTENT
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:5000])
    seen = []
    fetch(remote(f"{site.address}/data.bin"), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_local_file_is_used_without_a_network(tmp_path):
    local = tmp_path / "mine.bin"
    local.write_bytes(CONTENT)
    assert obtain(remote(), local, tmp_path / "downloads", None) == local


def test_a_local_file_with_other_bytes_is_refused(tmp_path):
    local = tmp_path / "mine.bin"
    local.write_bytes(CONTENT[::-1])
    with pytest.raises(UserError, match="is not data.bin: its md5 is"):
        obtain(remote(), local, tmp_path, None)


def test_a_local_file_that_is_too_short_is_refused(tmp_path):
    local = tmp_path / "mine.bin"
    local.write_bytes(CONTENT[:100])
    with pytest.raises(UserError, match="it has 100 bytes, not 10,240"):
        obtain(remote(), local, tmp_path, None)

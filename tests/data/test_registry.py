"""Named data: the table, where it is looked for, and fetching it from hosts that behave in every way."""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import stat
import tarfile
import threading
import time
import warnings
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srkit.cli import main
from srkit.data import download, registry
from srkit.data.registry import NAMED, Archive, Named
from srkit.data.sources import find_images, find_photographs
from srkit.files import SrkitError


def png(seed: int, size: tuple[int, int] = (20, 16)) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(noise).save(file, "png")
    return file.getvalue()


PICTURES = {f"set/{n}.png": png(n) for n in range(3)}


def zipped(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return file.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz", links: dict[str, str] | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return file.getvalue()


class Host(BaseHTTPRequestHandler):
    """Plays the data hosts: the first part of the path says how it behaves, the rest names the file."""

    def do_GET(self):
        how, name = self.path.strip("/").split("/")
        self.server.asked.append((how, self.headers.get("Range")))
        body, status = self.server.files.get(name, b""), 200
        if how == "missing":
            return self.send_error(404)
        if how == "silent":
            return time.sleep(2)
        if how == "moved":
            self.send_response(302)
            self.send_header("Location", f"/good/{name}")
            return self.end_headers()
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start and how != "forgetful":
            body, status = body[start:], 206
        self.send_response(status)
        if how != "unsized":
            self.send_header("Content-Length", str(10**15 if how == "huge" else len(body)))
        self.end_headers()
        if how == "cut" or (how == "cut-once" and self.server.asked.count((how, None)) == 1 and not start):
            return self.wfile.write(body[: len(body) // 2])
        if how == "forgetful" and len(self.server.asked) == 1:
            return self.wfile.write(body[: len(body) // 2])
        for n in range(0, len(body) if how == "drip" else 0, 10):
            self.wfile.write(body[n : n + 10])
            time.sleep(0.1)
        return None if how == "drip" else self.wfile.write(body)

    def handle(self):
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def host(server):
    server.asked, server.files = [], {"set.zip": zipped(PICTURES), "set.tar.gz": tarred(PICTURES)}
    server.url = f"http://127.0.0.1:{server.server_port}"
    return server


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """Data goes to a folder of the test's own, and nothing is attached."""
    monkeypatch.setenv("SRKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SRKIT_INPUTS", str(tmp_path / "input"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(registry, "home", lambda: tmp_path / "home")
    return tmp_path


def record(host, *ways: str, file: str = "set.zip", md5: bool = True, **more) -> Named:
    known = hashlib.md5(host.files[file]).hexdigest() if md5 else None
    archive = Archive(tuple(f"{host.url}/{way}/{file}" for way in ways), known, into=more.pop("into", ""))
    return Named("made", "for a test", "nobody", archives=(archive,), **more)


def whole(folder: Path) -> bool:
    """All of a set is in its folder, nothing of its making is left, and its manifest agrees."""
    here = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}
    left = [path.name for path in folder.parent.iterdir() if path != folder and path.suffix != ".lock"]
    return here == PICTURES and left == ["archives"] and not [*(folder.parent / "archives").iterdir()]


@pytest.mark.parametrize("file", ["set.zip", "set.tar.gz"])
@pytest.mark.parametrize("ways", [["good"], ["missing", "good"], ["moved"], ["unsized"], ["cut", "good"], ["cut-once"]])
def test_a_set_comes_whole_from_hosts_that_can_be_coped_with(host, ways, file):
    folder = download.fetch(record(host, *ways, file=file))
    assert whole(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    facts = manifest["pictures"]["set/1.png"]
    assert facts == {
        "width": 20,
        "height": 16,
        "bytes": len(PICTURES["set/1.png"]),
        "sha256": hashlib.sha256(PICTURES["set/1.png"]).hexdigest(),
    }
    assert download.verify(folder) == []


def test_a_wrong_file_is_refused_and_the_mirrors_right_one_taken(host):
    host.files["other.zip"] = zipped({"set/0.png": png(99)})
    right = record(host, "good")
    wrong = f"{host.url}/good/other.zip"
    both = replace(right, archives=(replace(right.archives[0], urls=(wrong, *right.archives[0].urls)),))
    assert whole(download.fetch(both))
    with pytest.raises(SrkitError, match=r"another file than expected, by its MD5"):
        download.fetch(replace(right, name="wrong", archives=(replace(right.archives[0], urls=(wrong,)),)))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("missing", "404"),
        ("cut", "the connection was cut after"),
        ("drip", "only .* bytes came in 0.5 s|timed out"),
        ("silent", "timed out"),
        ("huge", "needs 2000000.0 GB .* make room, or name another disk by SRKIT_DATA"),
    ],
)
def test_a_host_that_cannot_be_coped_with_ends_in_one_sentence_and_no_folder(host, places, way, words, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    with pytest.raises(SrkitError, match=words) as error:
        download.fetch(record(host, way))
    assert "set.zip" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (places / "data" / "made").exists()
    if way == "huge":
        assert not [*(places / "data" / "archives" / "made").iterdir()], (
            "bytes were taken before the disk was looked at"
        )


def test_a_host_that_is_not_there_is_named():
    with pytest.raises(SrkitError, match=r"127\.0\.0\.1:1: .*refused"):
        download.fetch(Named("gone", "", "", archives=(Archive(("http://127.0.0.1:1/gone.zip",)),)))


@pytest.mark.parametrize(("way", "second"), [("cut-once", True), ("forgetful", True)])
def test_a_download_that_was_cut_goes_on_where_it_stopped_or_starts_cleanly(host, way, second):
    assert whole(download.fetch(record(host, way)))
    half = len(host.files["set.zip"]) // 2
    assert host.asked == [(way, None), (way, f"bytes={half}-")], "the second request asks for the rest"


def test_without_a_checksum_a_download_is_never_pieced_together(host):
    with pytest.raises(SrkitError, match="cut after"):
        download.fetch(record(host, "cut", md5=False))
    assert {wanted for _, wanted in host.asked} == {None}


OUTSIDE = {
    "dots.zip": zipped(PICTURES | {"../evil.png": png(9)}),
    "absolute.zip": zipped({"/tmp/evil.png": png(9)}),
    "windows.zip": zipped({"C:\\evil.png": png(9)}),
    "link.zip": zipped(PICTURES, {"set/link.png": "/etc/passwd"}),
    "dots.tar": tarred(PICTURES | {"set/../../evil.png": png(9)}, "w"),
    "absolute.tar.gz": tarred({"/tmp/evil.png": png(9)}),
    "link.tar.gz": tarred(PICTURES, links={"set/link": "/etc"}),
    "link.tar": tarred(PICTURES, "w", {"set/link.png": "/etc/passwd"}),
}


@pytest.mark.parametrize("file", OUTSIDE)
def test_no_archive_writes_or_reads_outside_of_its_folder(host, places, file):
    host.files.update(OUTSIDE)
    inside = {places / "data" / name for name in ("made", ".made-new")}  # whole, and half made
    before = {path for path in places.rglob("*") if path.is_file()}
    with contextlib.suppress(SrkitError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        download.fetch(record(host, "good", file=file))
    after = {
        path for path in places.rglob("*") if path.is_file() and path.suffix not in (".lock", ".zip", ".gz", ".tar")
    }
    assert all(inside & set(path.parents) for path in after - before)
    assert not [path for path in places.rglob("*") if path.is_symlink()]
    assert not Path("/tmp/evil.png").exists()


def test_a_tar_with_a_link_out_of_its_folder_is_refused(host, places):
    host.files.update(OUTSIDE)
    with pytest.raises(SrkitError, match=r"link\.tar is not to be trusted .*do not use this archive"):
        download.fetch(record(host, "good", file="link.tar"))
    assert not (places / "data" / "made").exists()


@pytest.mark.parametrize("file", ["set.zip", "set.tar.gz"])
@pytest.mark.parametrize("content", ["cut", "a page"])
def test_a_damaged_archive_is_named_and_fetched_anew(host, file, content):
    good = host.files[file]
    host.files[file] = good[: len(good) * 2 // 3] if content == "cut" else b"<html>not found</html>"
    with pytest.raises(SrkitError, match=rf"{file} is damaged"):
        download.fetch(record(host, "good", file=file, md5=False))
    host.files[file] = good
    assert whole(download.fetch(record(host, "good", file=file, md5=False)))


def test_an_archive_with_a_password_ends_in_one_sentence(host):
    locked = host.files["set.zip"].replace(b"PK\3\4\x14\0\0", b"PK\3\4\x14\0\1")
    host.files["set.zip"] = locked.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1")
    with pytest.raises(SrkitError, match=r"set\.zip .*password"):
        download.fetch(record(host, "good"))


def test_a_picture_that_does_not_open_is_named_left_out_and_counted(host):
    host.files["set.zip"] = zipped(
        PICTURES | {"set/cut.png": png(7)[:100], "set/._0.png": b"a Mac's", "notes.txt": b""}
    )
    with pytest.warns(UserWarning, match="left out|do not open") as said:
        folder = download.fetch(record(host, "good"))
    said = [str(each.message) for each in said]
    assert any("cut.png does not open as a picture" in each for each in said)
    assert "1 of 4 pictures of made do not open." in said
    assert whole(folder)
    assert list(json.loads((folder / "manifest.json").read_text())["left_out"]) == ["set/cut.png"]


def test_where_no_checksum_is_known_the_number_of_pictures_must_be_right(host):
    assert download.fetch(record(host, "good", md5=False, pictures=3))
    with pytest.raises(SrkitError, match="came with 3 pictures, and it has 5"):
        download.fetch(replace(record(host, "good", md5=False, pictures=5), name="five"))


def test_verify_names_what_differs(host):
    folder = download.fetch(record(host, "good"))
    (folder / "set" / "0.png").unlink()
    (folder / "set" / "1.png").write_bytes(png(50))
    (folder / "set" / "new.png").write_bytes(png(51))
    assert download.verify(folder) == [
        "set/0.png is missing",
        "set/1.png is not what was fetched",
        "set/new.png was added",
    ]
    (folder / "manifest.json").unlink()
    with pytest.raises(SrkitError, match=r"has no manifest\.json"):
        download.verify(folder)


def test_an_archive_is_kept_when_asked_and_then_not_fetched_again(host, places):
    made = record(host, "good")
    folder = download.fetch(made, keep_archive=True)
    kept = places / "data" / "archives" / "made" / "set.zip"
    assert kept.read_bytes() == host.files["set.zip"]
    (folder / "manifest.json").unlink()
    folder.rename(places / "elsewhere")
    download.fetch(made)
    assert len(host.asked) == 1
    assert not kept.exists()


def fetch_it(made: Named, begin) -> None:
    begin.wait()
    download.fetch(made)


def test_two_processes_that_ask_at_once_fetch_once(host, places):
    method = multiprocessing.get_context("fork")
    begin = method.Barrier(2)
    workers = [method.Process(target=fetch_it, args=(record(host, "good"), begin)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(host.asked) == 1
    assert whole(places / "data" / "made")


def test_a_folder_half_made_by_a_killed_process_is_made_anew(host, places):
    left = places / "data" / ".made-new" / "set"
    left.mkdir(parents=True)
    (left / "old.png").write_bytes(png(1))
    assert whole(download.fetch(record(host, "good")))


# The table


def test_every_md5_of_the_table_is_one_and_every_archive_has_an_address():
    archives = [archive for each in NAMED.values() for archive in each.archives]
    assert all(len(archive.md5) == 32 and int(archive.md5, 16) for archive in archives if archive.md5)
    assert all(url.startswith("https://") for archive in archives for url in archive.urls)
    assert len({archive.md5 for archive in archives if archive.md5}) == len([a for a in archives if a.md5])
    tracks = ["HR", *(f"LR_{track}_X{n}" for track in ("bicubic", "unknown") for n in (2, 3, 4)), "LR_mild", "LR_wild"]
    wanted = {f"DIV2K_{side}_{track}.zip" for side in ("train", "valid") for track in tracks}
    assert {archive.name for archive in archives if archive.name.startswith("DIV2K")} == wanted
    for each in NAMED.values():
        assert each.cite
        assert each.licence
        assert each.use in ("train", "test")
        assert all(part in NAMED for part in each.parts)


def test_the_md5_sums_are_those_that_were_seen_elsewhere(shared):
    facts = (shared / "README.md").read_text()
    known = [archive.md5 for each in NAMED.values() for archive in each.archives if archive.md5]
    assert len(known) == 20
    assert all(md5 in facts for md5 in known)


def test_an_explicit_path_comes_before_srkit_data_before_kaggles_inputs_before_data(places, monkeypatch):
    monkeypatch.chdir(places)
    order = [
        places / "set5",
        places / "data" / "set5",
        places / "input" / "set5",
        places / "input" / "datasets" / "somebody" / "set5",
        places / "home" / "data" / "set5",
    ]
    for place in order:
        place.mkdir(parents=True)
    for place in order:
        assert registry.locate("set5").resolve() == place
        place.rmdir()
    assert registry.locate("set5") is None


@pytest.mark.parametrize("place", ["input/my-set", "input/datasets/me/my-set", "data/me-my-set"])
def test_a_data_set_of_kaggle_is_found_where_kaggle_puts_it(places, place):
    for n in range(3):
        path = places / place / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(n))
    found = find_photographs("kaggle:me/my-set")
    assert len(found.train) == 2
    assert registry.locate("kaggle:somebody-else/my-set") == (places / place if place == "input/my-set" else None)


def test_what_is_not_here_or_unknown_is_said_with_the_way_out(places):
    with pytest.raises(SrkitError, match="`srkit data div2k` fetches it"):
        find_photographs("div2k")
    with pytest.raises(SrkitError, match="no folder and no named set: .* a name that `srkit data` lists"):
        find_photographs("holidays")
    with pytest.raises(SrkitError, match="no folder and no named set: did you mean starter[?] give a folder"):
        find_photographs("startr")
    with pytest.raises(SrkitError, match="no folder and no named set"):
        find_photographs("kaggle:too/many/slashes")
    with pytest.raises(SrkitError, match="set5 is there to test on"):
        find_photographs("set5")


def test_a_set_of_parts_uses_the_folders_of_all(places):
    for folder, names in {
        "div2k/train/DIV2K_train_HR": ("0001.png", "0002.png"),
        "div2k/valid/DIV2K_valid_HR": ("0801.png",),
        "flickr2k/train/Flickr2K/Flickr2K_HR": ("000001.png",),
    }.items():
        (places / "data" / folder).mkdir(parents=True)
        for name in names:
            (places / "data" / folder / name).write_bytes(png(hash(name) % 1000))
    both = find_photographs("df2k")
    assert both.name == "df2k"
    assert [path.name for path in both.train] == ["0001.png", "0002.png", "000001.png"]
    assert [path.name for path in both.valid] == ["0801.png"]
    assert [path.name for path in find_images("div2k")[0]] == ["0801.png"]
    assert [path.name for path in find_images("starter")[0]] == ["chelsea.png", "rocket.jpg"]


CLIENT = """#!/bin/sh
echo "$@" >> "$KAGGLE_LOG"
case "$SAYS" in
  token) echo 'Authentication required to call the Kaggle API.'; exit 1 ;;
  fails) echo '403 Client Error: Forbidden'; exit 1 ;;
  *) cp "$SET" "$5/my-set.zip" ;;
esac
"""


@pytest.fixture
def client(places, monkeypatch):
    """A stand-in for Kaggle's client that copies a zip."""
    program = places / "bin" / "kaggle"
    program.parent.mkdir()
    program.write_text(CLIENT)
    program.chmod(0o755)
    (places / "set.zip").write_bytes(zipped(PICTURES))
    for name, value in {"SET": places / "set.zip", "KAGGLE_LOG": places / "log", "SAYS": "nothing"}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return places


def test_a_data_set_of_kaggle_is_fetched_by_kaggles_client(client):
    folder = download.fetch("kaggle:me/my-set")
    assert folder == client / "data" / "me-my-set"
    assert whole(folder)
    assert (client / "log").read_text().startswith("datasets download me/my-set -p ")
    assert download.fetch("kaggle:me/my-set") == folder
    assert len((client / "log").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("says", "words"), [("token", r"https://www\.kaggle\.com/settings/api"), ("fails", "403 Client Error: Forbidden")]
)
def test_a_client_without_a_token_or_a_right_says_so_in_one_sentence(client, monkeypatch, says, words):
    monkeypatch.setenv("SAYS", says)
    with pytest.raises(SrkitError, match=words):
        download.fetch("kaggle:me/my-set")


def test_the_command_lists_fetches_and_verifies(client, capsys):
    assert main(["data"]) == 0
    listed = capsys.readouterr().out
    for each in NAMED.values():
        assert f"\n{each.name:18} {each.use:6} {each.pictures or '?':>5}  " in listed
        assert each.cite in listed
    assert "`srkit data div2k` fetches it" in listed
    assert listed.count("No checksum known.") == 4, "Set5, Set14, BSD100 and the Kaggle set"
    assert main(["data", "kaggle:me/my-set"]) == 0
    assert "3 pictures in" in capsys.readouterr().out
    assert main(["data", "kaggle:me/my-set", "--verify"]) == 0
    next((client / "data").rglob("0.png")).unlink()
    assert main(["data", "kaggle:me/my-set", "--verify"]) == 1
    assert "set/0.png is missing" in capsys.readouterr().out
    assert main(["data", "starter"]) == 0
    assert "starter: 5 pictures in" in capsys.readouterr().out


def test_nothing_is_warned_of_where_all_is_well(host):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        download.fetch(record(host, "good"))

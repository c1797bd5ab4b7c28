"""Files are whole or absent, whatever happens while they are written; and the reason is told in a sentence."""

import errno
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from srkit.files import CannotWrite, SrkitError, expanded, locked, replacing
from srkit.stopping import explained
from srkit.weights_files import save_weights


def test_the_longest_legal_name_can_be_written(tmp_path):
    for name in ("a" * 251 + ".png", "ü" * 125 + ".png", "a." + "b" * 250, "." + "c" * 250):
        with replacing(tmp_path / name) as beside:
            assert beside.suffix == ".png" or not name.endswith(".png")
            beside.write_text(name[:3])
        assert (tmp_path / name).read_text() == name[:3]
    with pytest.raises(SrkitError, match=r"cannot be written \(File name too long\)"):
        replacing_words(tmp_path / ("a" * 260 + ".png"))
    assert len(list(tmp_path.iterdir())) == 4


def test_tilde_is_the_users_folder_and_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path)
    with replacing("~/new/a.txt") as beside:
        beside.write_text("mine")
    assert (tmp_path / "me" / "new" / "a.txt").read_text() == "mine"
    assert not (tmp_path / "~").exists()
    assert expanded("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")
    assert expanded("a/~/b") == Path("a/~/b")


def test_a_new_file_has_the_rights_that_the_umask_leaves_and_the_umask_is_never_touched(tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        real, touched = os.umask, []
        monkeypatch.setattr(os, "umask", lambda mask: touched.append(mask) or real(mask))
        worker = threading.Thread(target=lambda: replacing_words(tmp_path / "a.txt"))
        worker.start()
        worker.join()
        assert not touched
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    finally:
        real(before)


def test_weights_are_for_all_who_may_read_the_folder(tmp_path):
    (tmp_path / "new.txt").touch()  # what the umask leaves
    save_weights(torch.nn.Conv2d(3, 3, 1), tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "new.txt").stat().st_mode


def replacing_words(path):
    with replacing(path) as beside:
        beside.write_text("words")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "make room there"),
        (errno.EDQUOT, "make room there"),
        (errno.EIO, "choose another folder"),
        (errno.EROFS, "choose another folder"),
    ],
)
def test_only_a_full_disk_asks_for_room(tmp_path, number, said):
    def fail(path):
        path.write_text("half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(SrkitError) as told, replacing(tmp_path / "a.csv") as beside:
        fail(beside)
    assert str(told.value) == f"{tmp_path / 'a.csv'} cannot be written ({os.strerror(number)}): {said}."
    assert not list(tmp_path.iterdir())


def test_errors_of_reading_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.csv"):
        (tmp_path / "none.csv").read_text()
    with pytest.raises(RuntimeError, match="other"), replacing(tmp_path / "a.csv"):
        raise RuntimeError("other")
    with pytest.raises(ConnectionResetError), explained(tmp_path, None, None):
        raise ConnectionResetError(errno.ECONNRESET, "reset by peer")


@pytest.mark.parametrize("save", [torch.save, save_file], ids=["torch", "safetensors"])
def test_libraries_that_hide_why_they_cannot_write_are_seen_through(tmp_path, save):
    """torch.save's error is a RuntimeError about positions."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
        told = pytest.raises(CannotWrite, match=r"w.pt cannot be written \(File too large\)")
        with told, replacing(tmp_path / "w.pt") as beside:
            save({"a": torch.zeros(100_000)}, beside)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_lock_is_of_one_name_alone_however_long_and_leaves_nothing(tmp_path):
    names = ["a" * 254 + "b", "a" * 254 + "c", "run.x", "run.y", "run"]
    with ExitStack() as held:
        for name in names:
            held.enter_context(locked(tmp_path / name, "busy", 0))
        for name in names:
            with pytest.raises(SrkitError, match="busy"), locked(tmp_path / name, "busy", 0):
                pass
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(SrkitError, match=r"a.csv cannot be written \(Is a directory\)"), replacing(tmp_path / "a.csv"):
        pass

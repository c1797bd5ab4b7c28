"""The file that decoded pictures lie in: whole or made again, by one process alone."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from srkit.data.cache import stored


@pytest.mark.parametrize(
    ("file", "content"), [("hr.u8", b"short"), ("hr.json", b"[[0, 4"), ("hr.json", b"{}"), ("hr.json", b"7")]
)
def test_a_cache_that_was_cut_off_or_is_odd_is_made_again(tmp_path, file, content):
    pictures = [(0, np.full((4, 5, 3), 7, np.uint8)), (2, np.full((3, 3, 3), 9, np.uint8))]
    stored(tmp_path / "hr.u8", pictures, 2, "test")
    (tmp_path / file).write_bytes(content)
    again = stored(tmp_path / "hr.u8", pictures, 2, "test")
    assert list(again) == [0, 2]
    assert all(np.array_equal(again[number], picture) for number, picture in pictures)


def test_a_cache_whose_making_failed_leaves_nothing(tmp_path):
    def failing():
        yield 0, np.zeros((4, 4, 3), np.uint8)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        stored(tmp_path / "hr.u8", failing(), 2, "test")
    assert not list(tmp_path.glob("[!.]*"))


def test_what_a_killed_process_had_begun_goes_when_the_cache_is_made(tmp_path):
    """Gigabytes, of a large set; another set's, which may just be made, stay."""

    def killed():
        yield 0, np.zeros((400, 400, 3), np.uint8)
        os.kill(os.getpid(), signal.SIGKILL)

    dying = multiprocessing.get_context("fork").Process(target=stored, args=(tmp_path / "hr.u8", killed(), 2, "test"))
    dying.start()
    dying.join()
    other = tmp_path / ".lr-x4-0-0123456789abcdef.u8"
    other.touch()
    assert len(list(tmp_path.glob(".hr-*"))) == 1
    stored(tmp_path / "hr.u8", [(0, np.zeros((4, 4, 3), np.uint8))], 1, "test")
    assert {path.name for path in tmp_path.iterdir()} - {".hr.u8.lock"} == {"hr.u8", "hr.json", other.name}


def test_of_two_that_want_one_cache_at_once_one_makes_it(tmp_path):
    made = []

    def slow(who):
        for n in range(3):
            made.append(who)
            time.sleep(0.02)
            yield n, np.full((4, 5, 3), n, np.uint8)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda who: stored(tmp_path / "hr.u8", slow(who), 3, "test"), "ab"))
    assert made in (["a"] * 3, ["b"] * 3)
    assert all(np.array_equal(both[0][n], both[1][n]) for n in range(3))

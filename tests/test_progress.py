"""The bar's three faces, and that no output, closed, full or narrow, ends the work."""

import io
import os
import subprocess
import sys

import pytest

from srkit import progress
from srkit.progress import Progress, lasting_output


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_has_plain_lines_and_the_last_one_tells_all(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with Progress(5, "psnr", start=2) as bar:
        for _ in range(3):
            bar.update(1, "loss 0.5")
        assert bar.n == 5
    lines = log.getvalue().splitlines()
    assert lines[0].startswith("psnr: 2 of 5")
    assert lines[-1].startswith("psnr: 5 of 5")
    assert lines[-1].endswith("loss 0.5")
    assert len(lines) <= 3, "a line in ten seconds, and one at either end"
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_a_terminal_has_one_line_that_is_drawn_again(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress(4, "psnr") as bar:
        bar.update(4, "done")
    assert screen.getvalue().count("\n") == 1
    last = screen.getvalue().split("\r")[-1]
    assert "psnr: 4 of 4" in last
    assert "done" in last


def test_a_notebook_keeps_the_last_state_alone(monkeypatch):
    shown = []

    class Output:
        def update(self, content):
            shown[:] = [content.data]

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_notebook_output", Output)
    with Progress(4, "a < b") as bar:
        bar.update(4)
    assert len(shown) == 1
    assert "value='4' max='4'" in shown[0]
    assert "a &lt; b: 4 of 4" in shown[0]


@pytest.mark.parametrize("stderr", [None, "closed", "full"])
def test_where_nothing_can_be_shown_the_work_goes_on(monkeypatch, stderr):
    if stderr == "full" and not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    stream = open("/dev/full", "w") if stderr == "full" else io.StringIO() if stderr else None  # noqa: SIM115
    if stderr == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(2, "psnr") as bar:
        bar.update(2)
    assert bar.n == 2
    monkeypatch.undo()
    if stderr == "full":
        with pytest.raises(OSError, match="No space"):
            stream.close()


def test_what_is_soon_done_need_not_be_shown(capsys):
    with Progress(2, "psnr", delay=60) as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""


def test_only_the_first_of_several_processes_speaks(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    with Progress(2, "psnr") as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""


WORK = """
import os, sys
from srkit.progress import lasting_output
with lasting_output():
    for number in range(20_000):
        print("line", number, "photo-\\udcff-画.png")
    sys.stdout.flush()
    print("and on", file=sys.stderr)
open(sys.argv[1], "w").write("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("| head -1", ""),
        (">&-", ""),
        ("2>&-", None),
        (">&- 2>&-", None),
        ("> /dev/full", "srkit: the output cannot be written (No space left on device); the work goes on."),
        ("> /dev/full 2>&1", None),
        ("> narrow.txt", ""),
    ],
)
def test_no_output_ends_the_work(tmp_path, output, told):
    command = f"set -o pipefail; {sys.executable} -c '{WORK}' made {output}"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made").read_text() == "done"
    if told is not None:
        assert done.stderr.splitlines() == [*([told] if told else []), "and on"]
    if "narrow" in output:
        assert (tmp_path / "narrow.txt").read_text().startswith("line 0 photo-\\udcff-\\u753b.png\n")


def test_output_is_as_it_was_afterwards(capsys):
    before = sys.stdout, sys.stderr
    with lasting_output():
        print("words")
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "words\n"

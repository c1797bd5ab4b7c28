import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from srkit.cli import main
from srkit.course.notebooks import chapters, choose, environment, read_chapter
from srkit.course.runner import run_course
from srkit.files import SrkitError, or_left_out

PARAMETERS = """PROFILE: str = "smoke"
RECIPE: str = "srgan"
DATA: str = "starter"
SEED: int = 0
RUNS: str = "runs"
FIGURES: str = "figures"
PICTURES: int = 3"""
DRAW = """from pathlib import Path
folder = Path(FIGURES, PROFILE)
for end in (".pdf", ".png", ".csv"):
    (folder / f"00_dot{end}").write_text("x")"""
WRITES = 'WRITES = ["00_dot"]'


def write_notebook(folder: Path, name: str, *code: str, parameters: str = PARAMETERS, writes: str = WRITES) -> Path:
    def cell(source: str, *tags: str) -> dict:
        metadata = {"tags": list(tags)}
        return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}

    cells = [cell(parameters, "parameters"), *map(cell, code), cell(writes, "writes")]
    # A kernel name that is nowhere installed: the course must not ask for it.
    metadata = {"kernelspec": {"name": "elsewhere", "display_name": "Elsewhere", "language": "python"}}
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}))
    return path


@pytest.fixture
def course(tmp_path):
    """Runs the notebooks in tmp_path/notebooks and keeps all they write under tmp_path."""
    places = {"notebooks": tmp_path / "notebooks", "runs": tmp_path / "my runs", "figures": tmp_path / "figures"}
    return lambda **options: run_course(**(places | options))


def outputs(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(o.get("text", [])) for c in cells for o in c.get("outputs", []))


def test_notebooks_run_in_order_with_their_parameters_in_this_python(tmp_path, course):
    tell = (
        "import os, sys, matplotlib\nprint(SEED, PICTURES, RUNS, os.getcwd(), sys.executable, matplotlib.get_backend())"
    )
    write_notebook(tmp_path / "notebooks", "01_second", "assert open('told').read() == '7'", DRAW)
    write_notebook(tmp_path / "notebooks", "00_first", tell, DRAW, "open('told', 'w').write(str(SEED))")
    first, second = course(seed=7, settings={"PICTURES": 5})
    assert [first.notebook, second.notebook] == ["00_first", "01_second"]
    assert [f.name for f in first.files] == ["00_dot.pdf", "00_dot.png", "00_dot.csv"]
    assert first.executed == tmp_path / "my runs" / "course-smoke" / "00_first.ipynb"
    assert first.peak_mb > 20
    assert first.seconds > 0
    seen = outputs(first.executed)
    assert f"7 5 {tmp_path / 'my runs'} {tmp_path / 'notebooks'} {sys.executable}" in seen
    assert "inline" in seen


def test_all_recipes_go_to_training_and_comparison_alone(tmp_path, course):
    for name in ("04_losses", "05_training"):
        write_notebook(tmp_path / "notebooks", name, "print(RECIPE)", DRAW)
    losses, training = course(recipe="all")
    assert outputs(losses.executed) == "srgan\n"
    assert outputs(training.executed) == "all\n"


def test_a_cell_that_fails_is_named_with_notebook_error_and_copy(tmp_path, course):
    write_notebook(tmp_path / "notebooks", "00_first", "print('so far')", "\nnumber = 1 / 0\n", DRAW)
    write_notebook(tmp_path / "notebooks", "01_second", "raise SystemExit('must not run')")
    with pytest.raises(SrkitError) as caught:
        course()
    first, error, where = str(caught.value).splitlines()
    assert first.startswith("00_first stopped in cell [")
    assert "`number = 1 / 0`" in first
    assert error == "ZeroDivisionError: division by zero"
    copy = tmp_path / "my runs" / "course-smoke" / "00_first.ipynb"
    assert where.endswith(str(copy))
    assert "so far" in outputs(copy)
    assert not copy.with_name("01_second.ipynb").exists()


def test_a_kernel_that_dies_is_named(tmp_path, course):
    write_notebook(tmp_path / "notebooks", "00_first", "import os", "os._exit(9)", DRAW)
    with pytest.raises(
        SrkitError, match=r"(?s)00_first stopped in cell, which begins `os._exit\(9\)`\nthe kernel died"
    ):
        course()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("pass", "did not write"),
        (DRAW.replace('write_text("x")', "touch()").replace('".pdf", ', '".pdf", '), "left empty"),
    ],
)
def test_a_promised_figure_that_is_missing_or_empty_is_a_failure(tmp_path, course, code, fault):
    write_notebook(tmp_path / "notebooks", "00_first", code)
    with pytest.raises(SrkitError, match=f"00_first ran to its end but {fault} .*00_dot.pdf"):
        course()


def test_a_promised_figure_of_an_earlier_run_is_not_taken_for_a_new_one(tmp_path, course):
    write_notebook(tmp_path / "notebooks", "00_first", DRAW)
    course()
    course()
    write_notebook(tmp_path / "notebooks", "00_first", DRAW.replace('".pdf", ', ""))
    with pytest.raises(SrkitError, match="left as it was .*00_dot.pdf"):
        course()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "nosuch"}, ["nosuch", "srgan"]),
        ({"profile": "nosuch"}, ["nosuch", "smoke", "laptop", "gpu"]),
        ({"only": "00,17"}, ["'17'", "00_first"]),
        ({"settings": {"COLOUR": 1}}, ["COLOUR", "PICTURES"]),
        ({"settings": {"PICTURES": "many"}}, ["PICTURES", "int", "'many'"]),
        ({"data": "no/such/folder"}, ["no/such/folder"]),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(tmp_path, course, options, words):
    write_notebook(tmp_path / "notebooks", "00_first", "open('ran', 'w')", DRAW)
    with pytest.raises(SrkitError) as caught:
        course(**options)
    assert [word for word in words if word not in str(caught.value)] == []
    assert not (tmp_path / "notebooks" / "ran").exists()


def test_a_notebook_without_one_of_the_courses_parameters_is_refused(tmp_path, course):
    write_notebook(tmp_path / "notebooks", "00_first", DRAW, parameters=PARAMETERS.replace("SEED", "SEEDS"))
    with pytest.raises(SrkitError, match="00_first has no parameter SEED: it knows PROFILE.*SEEDS"):
        course()


def test_folders_that_cannot_be_written_are_refused_before_anything_runs(tmp_path, course):
    write_notebook(tmp_path / "notebooks", "00_first", "open('ran', 'w')", DRAW)
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(SrkitError, match="figures.* cannot be written .*--figures"):
        course()
    if os.geteuid():
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(SrkitError, match="closed.* cannot be written .*--figures"):
            course(figures=closed)
    assert not (tmp_path / "notebooks" / "ran").exists()


def test_only_chooses_by_number_and_by_name_in_the_courses_order(tmp_path):
    for name in ("00_start", "01_data", "02_losses"):
        write_notebook(tmp_path / "notebooks", name)
    everything = chapters(tmp_path / "notebooks")
    for only, names in {"02,00": "00 02", "losses": "02", "01_data.ipynb, 02": "01 02", None: "00 01 02"}.items():
        assert " ".join(c.number for c in choose(everything, only)) == names


def test_a_chapter_is_read_without_running_it(tmp_path):
    path = write_notebook(tmp_path / "nb", "00_first", writes='WRITES = ["00_a", "results.tex"]')
    chapter = read_chapter(path)
    assert chapter.parameters["SEED"] == 0
    assert [f.name for f in chapter.files(tmp_path)] == ["00_a.pdf", "00_a.png", "00_a.csv", "results.tex"]
    write_notebook(tmp_path / "nb", "00_first", writes="WRITES = names()")
    with pytest.raises(SrkitError, match="computes something"):
        read_chapter(path)
    path.write_text(
        path.read_text().replace("names()", "[]").replace('"metadata": {"kernelspec"', '"metadata": {"none"')
    )
    with pytest.raises(SrkitError, match="does not say for which kernel it is"):
        read_chapter(path)
    path.write_text('{"cells": [')
    with pytest.raises(SrkitError, match="not a readable notebook"):
        read_chapter(path)


def test_the_command_line_says_one_sentence_and_its_status(capsys, monkeypatch):
    assert main(["course", "--recipe", "nosuch"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("srkit: ")
    assert "nosuch" in said.err
    assert len(said.err.splitlines()) == 1
    with pytest.raises(SrkitError):
        main(["--debug", "course", "--recipe", "nosuch"])
    with pytest.raises(SystemExit) as usage:
        main(["course", "--nosuch"])
    assert usage.value.code == 2
    assert main(["train", "nosuch"]) == 1
    assert main(["course", "--set", "PICTURES"]) == 1

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("srkit.course.runner.run_course", stop)
    capsys.readouterr()
    assert main(["course"]) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_stops_the_kernel_and_keeps_the_notebook(tmp_path):
    code = "import os, time\nfrom pathlib import Path"
    wait = "Path('pid').write_text(str(os.getpid()))\ntry:\n    time.sleep(60)\nfinally:\n    Path('tidied').touch()"
    write_notebook(tmp_path / "notebooks", "00_first", code, wait, DRAW)
    script = (
        "import sys, srkit.course.runner as c, srkit.cli as cli\n"
        "run = c.run_course\n"
        f"c.run_course = lambda *a, **k: run(notebooks={str(tmp_path / 'notebooks')!r}, "
        f"runs={str(tmp_path / 'runs')!r}, figures={str(tmp_path / 'figures')!r})\n"
        "sys.exit(cli.main(['course']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    pid = tmp_path / "notebooks" / "pid"
    until = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("srkit: stopped")
    assert (tmp_path / "notebooks" / "tidied").exists()
    assert (tmp_path / "runs" / "course-smoke" / "00_first.ipynb").stat().st_size > 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_doctor_answers_every_line(monkeypatch, tmp_path, capsys):
    from srkit.course.doctor import doctor

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    rows = doctor()
    assert set(rows["state"]) <= {"OK", "WARN", "FAIL"}
    assert all(rows.loc[rows["state"] != "OK", "do"].str.len() > 0)
    vgg = rows[rows["check"] == "VGG weights"].iloc[0]
    assert vgg["state"] == "WARN"
    for way in ("connect", "TORCH_HOME", 'perceptual_weights="random"'):
        assert way in vgg["do"]
    assert main(["doctor"]) == int((rows["state"] == "FAIL").any())
    assert len([line for line in capsys.readouterr().out.splitlines() if line[:4].strip()]) == len(rows)


def test_importing_the_command_line_is_quick():
    heavy = "{'torch', 'pandas', 'papermill', 'matplotlib'}"
    code = f"import srkit.cli, srkit.course.runner, sys; print(sorted({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_warning_is_a_sentence_of_a_notebooks_output(capsys):
    with warnings.catch_warnings(record=True) as as_usual:
        warnings.simplefilter("always")
        environment("smoke", 0)
        with or_left_out():
            raise SrkitError("runs/a is damaged: train it again.")
        warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().out == "Note: left out: runs/a is damaged: train it again.\n"
    assert [str(warning.message) for warning in as_usual] == ["soon gone"]

"""The notebooks on Kaggle: badges, kernels that Kaggle's own client accepts, tokens that stay put, resuming."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from srkit.cli import main
from srkit.course import kaggle
from srkit.course.kaggle import bring_back, build, push, text_of, with_badges, write_badges
from srkit.course.notebooks import chapters
from srkit.data.sources import find_photographs
from srkit.files import SrkitError
from srkit.paths import home as home_of
from srkit.profiles import PROFILES
from srkit.training import train

SECRET = "KGAT_0123456789abcdef0123456789abcdef"
CHAPTERS = chapters()


ADDRESS = "https://github.com/some-one/srkit"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=[chapter.name for chapter in CHAPTERS])
def test_every_notebook_has_the_badges_that_the_maker_writes_and_no_link_to_a_repository_that_is_not_set(chapter):
    text = chapter.path.read_text(encoding="utf-8")
    assert text == text_of(with_badges(json.loads(text), chapter.name)), "run: srkit kaggle badges"
    address = kaggle.repository()
    assert text.count("[![Open in ") == (2 if address else 0)
    assert "pip install --no-deps srkit" not in text, "whoever registers that name would run code on students' machines"
    links = re.findall(r"https?://[^\s)\"\\]*(?:github|kernels/welcome)[^\s)\"\\]*srkit[^\s)\"\\]*", text)
    assert all(address and address.removeprefix("https://github.com/") in link for link in links)


def test_badges_come_to_a_new_notebook_replace_old_ones_and_go_with_the_address(tmp_path, monkeypatch):
    bare = json.loads(CHAPTERS[0].path.read_text(encoding="utf-8"))
    path = tmp_path / "08_new.ipynb"
    path.write_text(text_of(bare))
    monkeypatch.setattr(kaggle, "repository", lambda: "")
    assert write_badges(tmp_path) == []
    monkeypatch.setattr(kaggle, "repository", lambda: ADDRESS)
    assert write_badges(tmp_path) == [path]
    once = path.read_text()
    title, badges, *_ = json.loads(once)["cells"]
    assert title == bare["cells"][0]
    first = "".join(badges["source"])
    assert re.findall(r"\]\((https://[^)]*\.ipynb)\)", first) == [
        f"https://kaggle.com/kernels/welcome?src={ADDRESS}/blob/main/notebooks/08_new.ipynb",
        "https://colab.research.google.com/github/some-one/srkit/blob/main/notebooks/08_new.ipynb",
    ]
    assert f"`%pip install --no-deps git+{ADDRESS}`" in first
    assert write_badges(tmp_path) == []
    path.write_text(once.replace("some-one/srkit", "somebody/else"))
    assert write_badges(tmp_path) == [path]
    assert path.read_text() == once
    monkeypatch.setattr(kaggle, "repository", lambda: "")
    assert write_badges(tmp_path) == [path]
    assert path.read_text() == text_of(bare)


def test_the_address_is_one_setting(tmp_path, monkeypatch):
    monkeypatch.setattr(kaggle, "home", lambda: tmp_path)
    assert kaggle.repository() == ""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "srkit"\n')
    assert kaggle.repository() == ""
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "srkit"\n[project.urls]\nRepository = "{ADDRESS}/"\n')
    assert kaggle.repository() == ADDRESS


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("built")
    build(out, "some-one", "smoke", "bicubic_skip", "nitk", wheel=False, previous="some-one/srkit-05-training")
    return out


def test_a_kernel_is_its_notebook_with_other_parameters_and_one_more_cell(built):
    for chapter in CHAPTERS:
        folder = built / f"srkit-{chapter.name.replace('_', '-')}"
        given = {"PROFILE": "smoke", "RECIPE": "bicubic_skip", "DATA": "nitk"}
        if chapter.number == "05":
            given |= {"RESUME_FROM": "some-one/srkit-05-training", "MAX_MINUTES": 500.0}
        cells = json.loads((folder / chapter.path.name).read_text())["cells"]
        mine = json.loads(chapter.path.read_text())["cells"]
        first = cells.pop(1)
        place = next(n for n, cell in enumerate(cells) if "injected-parameters" in cell["metadata"].get("tags", []))
        assert "parameters" in cells[place - 1]["metadata"]["tags"]
        injected = {}
        exec("".join(cells.pop(place)["source"]), injected)
        assert {name: value for name, value in injected.items() if name != "__builtins__"} == given
        assert [(c["id"], c["source"]) for c in cells] == [(c["id"], c["source"]) for c in mine]
        assert "--no-deps" in "".join(first["source"])
        assert "srkit==" not in "".join(first["source"])
        compile("".join(first["source"]), "install", "exec")


CHECK = """
import contextlib, json, sys
from kaggle.api.kaggle_api_extended import KaggleApi

class Client:  # takes what would be sent to Kaggle
    def save_kernel(self, request):
        names = ("slug", "new_title", "language", "kernel_type", "is_private", "enable_gpu", "enable_internet")
        sent.append({name: getattr(request, name) for name in (*names, "machine_shape", "dataset_data_sources",
                                                               "kernel_data_sources")})
    kernels = property(lambda self: self)
    kernels_api_client = kernels

sent = []
api = KaggleApi()
api.build_kaggle_client = lambda *_: contextlib.nullcontext(Client())
for folder in sys.argv[1:]:
    api.kernels_push(folder)
print("SENT" + json.dumps(sent))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own with a token in each place where Kaggle's client looks for one."""
    folder = tmp_path / "home"
    (folder / ".kaggle").mkdir(parents=True)
    (folder / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "some-one", "key": SECRET}))
    (folder / ".kaggle" / "kaggle.json").chmod(0o600)
    (folder / ".kaggle" / "access_token").write_text(SECRET)
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there: no answer is waited for
    return folder


def test_kaggles_own_client_accepts_every_kernel_and_would_send_what_was_meant(built, home):
    pytest.importorskip("kagglesdk", reason="needs Kaggle's client")
    folders = sorted(map(str, built.iterdir()))
    done = subprocess.run([sys.executable, "-c", CHECK, *folders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said, _, sent = done.stdout.partition("SENT")
    assert "does not resolve" not in said
    sent = json.loads(sent)
    assert len(sent) == len(CHAPTERS)
    for chapter, each in zip(CHAPTERS, sent, strict=True):
        slug = f"srkit-{chapter.name.replace('_', '-')}"
        assert each == {
            "slug": f"some-one/{slug}",
            "new_title": slug.replace("-", " "),
            "language": "python",
            "kernel_type": "notebook",
            "is_private": True,
            "enable_gpu": True,
            "enable_internet": True,
            "machine_shape": "NvidiaTeslaT4",
            "dataset_data_sources": [
                "doobiusp/various-ordered-images-for-super-resolution-task",
                "some-one/srkit-wheel",
            ],
            "kernel_data_sources": ["some-one/srkit-05-training"],
        }
    assert SECRET not in done.stdout + done.stderr


def test_a_token_is_in_no_built_file_and_in_nothing_that_is_said(home, tmp_path):
    srkit = [sys.executable, "-m", "srkit", "kaggle"]
    out = str(tmp_path / "out")
    said = ""
    for words in (["build", "--user", "some-one", "--only", "05", "--no-wheel", "--out", out], ["push", "--out", out]):
        done = subprocess.run([*srkit, *words], capture_output=True, text=True, cwd=tmp_path)
        said += done.stdout + done.stderr
    assert "srkit: kaggle kernels push failed" in said or "settings/api" in said, said
    assert SECRET not in said
    written = [path for path in tmp_path.rglob("*") if path.is_file() and home not in path.parents]
    assert len(written) >= 2
    assert all(SECRET.encode() not in path.read_bytes() for path in written)


def test_without_a_token_kaggles_client_ends_in_one_sentence(home, built, capsys):
    shutil.rmtree(home / ".kaggle")
    assert main(["kaggle", "push", "--out", str(built)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "https://www.kaggle.com/settings/api" in said.err


def test_pushing_hands_each_folder_to_the_client_the_wheel_first(built, tmp_path, monkeypatch):
    called = []

    def client(*words):
        called.append(words)
        if words[:2] == ("datasets", "version"):
            raise SrkitError("there is none yet")
        return "done"

    monkeypatch.setattr(kaggle, "kaggle", client)
    out = tmp_path / "out"
    shutil.copytree(built, out)
    (out / "srkit-wheel").mkdir()
    (out / "srkit-wheel" / "dataset-metadata.json").write_text("{}")
    assert push(out) == ["done"] * (1 + len(CHAPTERS))
    assert called[1] == ("datasets", "create", "-p", str(out / "srkit-wheel"), "-r", "zip")
    assert called[2] == ("kernels", "push", "-p", str(out / "srkit-00-start-here"))
    with pytest.raises(SrkitError, match="holds no built kernels"):
        push(tmp_path / "nothing")


def test_without_an_attached_wheel_the_first_cell_says_what_to_attach_and_installs_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SRKIT_INPUTS", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", kaggle.TEXTS["install"]], capture_output=True, text=True)
    assert "attach the data set srkit-wheel by Add Input" in done.stderr
    assert "pip" not in done.stdout


def test_data_that_has_no_kaggle_set_is_fetched_by_the_first_cell(tmp_path):
    build(tmp_path, "me", "smoke", data="div2k", only="01", wheel=False)
    cell = json.loads(next(tmp_path.rglob("*.ipynb")).read_text())["cells"][1]
    assert "".join(cell["source"]).endswith("fetch('div2k')\n")


def test_the_records_of_studies_go_along_with_the_pages_that_06_shows(tmp_path, monkeypatch):
    record = tmp_path / "figures" / "systems"
    for name in ("study.json", "pages/srgan.md", "crops/a.png", "plane.pdf", "own.tex"):
        (record / name).parent.mkdir(parents=True, exist_ok=True)
        (record / name).touch()
    monkeypatch.setattr(kaggle, "home", lambda: tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    kept = (kaggle._wheel(tmp_path / "out", "me") / "figures" / "systems").rglob("*.*")
    assert {path.name for path in kept} == {"study.json", "srgan.md", "a.png"}


@pytest.mark.parametrize("wrong", [{"user": "some one"}, {"profile": "huge"}, {"data": "nowhere"}, {"recipe": "none"}])
def test_wrong_names_are_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(SrkitError):
        build(tmp_path, **{"user": "me"} | wrong)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_this_machine_is_no_data_for_kaggle(tmp_path):
    with pytest.raises(SrkitError, match="is a folder of this machine: make it a data set of Kaggle"):
        build(tmp_path / "out", "me", data=str(tmp_path))


# Going on from the output of a session that was cut


@pytest.mark.parametrize("place", ["notebooks/me/my-kernel/runs", "my-kernel/runs", "my-kernel"])
def test_a_run_of_a_cut_session_is_gone_on_with_from_a_read_only_input(tmp_path, monkeypatch, one_thread, place):
    monkeypatch.setenv("SRKIT_INPUTS", str(tmp_path / "input"))
    tiny = replace(
        PROFILES["smoke"], psnr_steps=6, log_every=1, validate_every=3, channels=4, blocks=1, validate_on=(1, 48)
    )
    straight = train("srresnet", tiny, runs=tmp_path / "straight")
    earlier = train("srresnet", tiny, runs=tmp_path / "input" / place, max_minutes=1e-9)
    assert not earlier.done
    files = sorted((tmp_path / "input").rglob("*"), reverse=True)
    for path in files:
        path.chmod(stat.S_IRUSR | stat.S_IXUSR * path.is_dir())
    working = tmp_path / "working" / "runs"
    (brought,) = bring_back("me/my-kernel", working)
    assert bring_back("me/my-kernel", working) == [], "what is there stays"
    assert all(path.stat().st_mode & stat.S_IWUSR for path in working.rglob("*"))
    again = train("srresnet", tiny, runs=working, resume=True)
    assert again.folder == brought
    assert again.done
    assert again.history()["step"].tolist() == straight.history()["step"].tolist()
    one, other = straight.generator().state_dict(), again.generator().state_dict()
    assert all(one[name].equal(other[name]) for name in one)
    for path in files:
        path.chmod(stat.S_IRWXU)


def test_an_output_that_is_not_attached_is_named(tmp_path):
    with pytest.raises(SrkitError, match=r"me/none is not attached here: .*Add Input"):
        bring_back("me/none", tmp_path)


def test_the_command_line_and_the_notebooks_agree_on_the_projects_folder_without_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr("srkit.paths.__file__", str(tmp_path / "site" / "srkit" / "paths.py"))
    monkeypatch.chdir(tmp_path)
    assert home_of() == tmp_path, "nothing is here: the current folder"
    (tmp_path / "notebooks").mkdir()
    shutil.copy(CHAPTERS[0].path, tmp_path / "notebooks")
    assert home_of() == tmp_path
    monkeypatch.chdir(tmp_path / "notebooks")
    assert home_of() == tmp_path


# Kaggle played: inputs that are read only, a working folder, no network

NO_NETWORK = """
import socket

connect = socket.socket.connect

def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        with open({log!r}, "a") as file:
            file.write(f"{{address}}\\n")
        raise OSError(101, "Network is unreachable")
    return connect(self, address)

socket.socket.connect = guarded
"""


@pytest.mark.notebooks
def test_the_course_runs_on_kaggles_folders_without_a_network(tmp_path):
    inputs, working, site, guard = (tmp_path / name for name in ("input", "working", "site", "guard"))
    out = tmp_path / "built"
    only = os.environ.get("SRKIT_KAGGLE_ONLY", "01,05")
    build(out, "me", "smoke", data="kaggle:me/my-photos", only=only or None, wheel=True)
    shutil.copytree(out / "srkit-wheel", inputs / "datasets" / "me" / "srkit-wheel")
    photographs = inputs / "datasets" / "me" / "my-photos"
    starter = find_photographs()
    for side in ("train", "valid"):
        (photographs / side).mkdir(parents=True)
        for path in getattr(starter, side):
            shutil.copy(path, photographs / side)
    (working / "notebooks").mkdir(parents=True)
    for path in (*out.glob("*/*.ipynb"), *CHAPTERS[0].path.parent.glob("*.bib")):
        shutil.copy(path, working / "notebooks")
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(NO_NETWORK.format(log=str(tmp_path / "asked.txt")))
    everything = sorted(inputs.rglob("*"), reverse=True)
    before = {path: path.stat().st_mtime_ns for path in everything}
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)

    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE_", "SRKIT_", "PIP_"))
    }
    environment |= {"SRKIT_INPUTS": str(inputs), "HOME": str(tmp_path / "home"), "PIP_TARGET": str(site)}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, (site, guard)))}

    def python(*words):
        done = subprocess.run([sys.executable, *words], cwd=working, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
        return done.stdout

    python("-c", kaggle.TEXTS["install"])
    assert python("-c", "import srkit; print(srkit.__file__)").strip() == str(site / "srkit" / "__init__.py")
    python("-m", "srkit", "course", "--profile", "smoke", "--data", "kaggle:me/my-photos")
    assert (working / "runs" / "srgan-smoke-s0-my-photos" / "generator-gan.safetensors").exists()
    assert (working / "figures" / "smoke" / "05_curves.pdf").stat().st_size > 1000
    assert {path: path.stat().st_mtime_ns for path in inputs.rglob("*")} == before, "an input was written to"
    assert not (tmp_path / "asked.txt").exists(), (tmp_path / "asked.txt").read_text()
    for path in everything:
        path.chmod(0o755)

"""A chapter from records: every number traced, what must not be written refused, and LaTeX that compiles."""

import csv
import json
import re
import shutil
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from srkit.cli import main
from srkit.files import SrkitError
from srkit.generator import RRDBNet, SRResNet, count_parameters, multiply_adds
from srkit.images import write_image
from srkit.losses import LPIPS, Pixel
from srkit.profiles import PROFILES, fit
from srkit.recipes import RECIPES
from srkit.records import build, describe
from srkit.runs import Run
from srkit.study.record import COLUMNS
from srkit.tables import tex
from srkit.thesis import facts
from srkit.thesis.chapter import Writer, write_chapter
from srkit.thesis.facts import Fact
from srkit.thesis.opening import FEW, open_records, warnings
from srkit.weights_files import save_weights

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"channels": 4, "blocks": 1, "width": 4, "dense": 8, "batch": 2, "crop": 32, "psnr_steps": 40, "gan_steps": 20}
DATA = {"name": "starter", "fingerprint": "0123456789abcdef", "train": 3, "valid": 2}
SETS = {"Set5": 5, "Set14": 14}


def a_run(folder: Path, system: str = "srresnet", seed: int = 0, profile: str = "laptop", **changes: object) -> Path:
    """A run's folder as training leaves it, with fresh weights and an invented history."""
    recipe = fit(RECIPES[system], replace(PROFILES["laptop"], **SMALL))
    recipe = replace(recipe, **{key: value for key, value in changes.items() if key != "data"})
    config = {"recipe": describe(recipe), "profile": profile, "seed": seed, "data": changes.get("data", DATA)}
    config |= {"perceptual_weights": "imagenet", "device": "cpu", "precision": "fp32", "seconds": 7200.0}
    config |= {"versions": {"srkit": "0.2.0", "torch": "2.14.1", "python": "3.11.7"}, "health": {}}
    run = Run(folder / f"{recipe.name}-{profile}-s{seed}")
    run.folder.mkdir(parents=True)
    run.write_config(config)
    torch.manual_seed(seed)
    lines, step = [], 0
    for phase in recipe.phases:
        save_weights(build(recipe), run.weights(phase.name))
        for _ in range(4):
            step += phase.steps // 4
            lines.append([phase.name, step, step / 10, 0.01, 0.5, 0.2, 0.6, 0.7, 0.6, 0.4, 25 + step / 100])
    names = ["phase", "step", "seconds", "pixel", "perceptual", "checkerboard", "adversarial", "discriminator", "d_hr"]
    pd.DataFrame(lines, columns=[*names, "d_sr", "psnr_y"]).to_csv(run.folder / "history.csv", index=False)
    return run.folder


def scores(systems: dict[str, tuple[str, str, float]], seeds: dict[str, list[int]], lpips: bool = True) -> pd.DataFrame:
    """Invented scores by system, (phase, task, gain on bicubic in dB), with little noise from picture to picture."""
    random, lines = np.random.default_rng(0), []
    for name, count in SETS.items():
        level = random.normal(27, 3, count)
        for system, (phase, task, gain) in {"bicubic": ("", "x4, bicubic", 0.0), **systems}.items():
            for seed in seeds.get(system, [0]):
                psnr = level + gain + random.normal(0, 0.02, count) + 0.1 * seed
                for number, value in enumerate(psnr):
                    line = [system, seed, phase, task, name, f"img_{number}.png", value, value / 40]
                    lines.append([*line, 0.4 - gain / 10 if lpips else np.nan, 0.3])
    return pd.DataFrame(lines, columns=COLUMNS)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A study's folder of figures: two systems of two seeds, one of them against the other, with invented scores."""
    folder = tmp_path_factory.mktemp("study")
    runs = [a_run(folder / "runs", name, seed) for name in ("srresnet", "srgan") for seed in (0, 1)]
    open_records(runs, folder / "first", [])
    shutil.copytree(folder / "first" / "record", folder / "figures")
    said = json.loads((folder / "figures" / "study.json").read_text())
    said |= {"name": "tiny", "about": "Do two systems differ?", "tests": list(SETS), "planned": 4}
    said["against"] = {"srresnet": "srresnet", "srgan": "srresnet"}
    del said["runs"][0]["recipe"]["alpha"]  # as an earlier srkit wrote it
    (folder / "figures" / "study.json").write_text(json.dumps(said))
    systems = {"srresnet": ("psnr", "x4, bicubic", 2.0), "srgan": ("gan", "x4, bicubic", 0.5)}
    table = scores(systems, {"srresnet": [0, 1], "srgan": [0, 1]})
    table.to_csv(folder / "figures" / "scores.csv", index=False, float_format="%.5g")
    return folder / "figures"


def test_a_studys_question_keeps_its_mark_and_one_photograph_reads_as_well_as_two(chapter):
    assert "Do two systems differ?\n" in (chapter / "generated" / "method.tex").read_text()
    assert "starter}, 3 train and 2 validate" in (chapter / "generated" / "data.tex").read_text()


@pytest.fixture(scope="module")
def chapter(study, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("chapter")
    write_chapter([study], out, command="srkit thesis studies/tiny.toml")
    return out


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "50% of_my & #1 {pictures}"
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    write_image(folder / "a--b_c~^\\$ 中.png", noise.repeat(4, 0).repeat(4, 1))
    return folder


@pytest.fixture(scope="module")
def slides(pictures, tmp_path_factory) -> Path:
    """A chapter of one run of one phase on one picture without LPIPS: two columns, German labels, and slides."""
    folder = tmp_path_factory.mktemp("run")
    run = a_run(folder, about="100 % of \\input{x} & <more>", reported="", cite="nobody_1 2031")
    how = {"images": list(pictures.glob("*")), "photographs": pictures, "columns": 2, "language": "de", "slides": True}
    write_chapter([run], folder / "out", **how, command="srkit thesis 'a_b & c' --out x")
    return folder / "out"


def compiled(out: Path) -> str:
    """What pdflatex says of a chapter, in a copy of its folder; the test is skipped where there is none."""
    if not (shutil.which("pdflatex") and shutil.which("bibtex")):
        pytest.skip("needs pdflatex and bibtex, as of Debian's texlive-latex-extra")
    for command in (["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"], ["bibtex", "main"]) * 2:
        done = subprocess.run(command, cwd=out, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    subprocess.run(["pdflatex", "-interaction=nonstopmode", "main"], cwd=out, capture_output=True)
    return (out / "main.log").read_text(errors="replace")


def test_a_studys_chapter_compiles_with_every_citation_and_reference(chapter, tmp_path):
    log = compiled(shutil.copytree(chapter, tmp_path / "copy"))
    assert "undefined" not in log
    assert "multiply" not in log
    assert "Overfull" not in log


def test_names_of_every_kind_compile_and_a_run_of_one_phase_on_one_picture_without_lpips(slides, tmp_path):
    log = compiled(shutil.copytree(slides, tmp_path / "copy"))
    assert "undefined" not in log
    results = (slides / "generated" / "results.tex").read_text()
    assert "LPIPS" not in results.replace("LPIPS-squeeze", "")
    assert r"50\% of\_my \& \#1 \{pictures\}" in results
    data = (slides / "generated" / "data.tex").read_text()
    assert r"\item look: also in 50\% of\_my \& \#1 \{pictures\}: a-{}-b" in data
    qualitative = (slides / "generated" / "qualitative.tex").read_text()
    assert r"a-{}-b\_c\textasciitilde{}\textasciicircum{}\textbackslash{}\$ {[}U+4E2D{]}.png" in qualitative


def test_every_number_of_the_tables_is_in_the_record_that_is_named_for_it(study, chapter):
    said = json.loads((chapter / "srkit-thesis.json").read_text())
    for each in said["numbers"]:
        assert each["number"] in (chapter / each["in"]).read_text()
        assert (study / Path(each["file"]).name).exists() or each["file"] == "the command"
    with (study / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    want = {"set": "Set14", "task": "x4, bicubic", "system": "srgan"}
    by_seed = [
        statistics.mean(float(r["psnr_y"]) for r in rows if want.items() <= r.items() and r["seed"] == seed)
        for seed in ("0", "1")
    ]
    place = "where set=Set14, task=x4, bicubic, system=srgan"
    found = {each["place"]: each["number"] for each in said["numbers"] if each["in"] == "generated/results.tex"}
    assert found[f"psnr_y {place}"] == f"{statistics.mean(by_seed):.2f}"
    assert found[f"psnr_y_std {place}"] == f"{statistics.stdev(by_seed):.2f}"
    assert float(found[f"psnr_y_low {place}"]) < statistics.mean(by_seed) < float(found[f"psnr_y_high {place}"])
    study_file = json.loads((study / "study.json").read_text())
    for each in said["numbers"]:
        if match := re.fullmatch(r"runs\[(\d)\]\.recipe\.phases\[(\d)\]\.lr", each["place"]):
            run, phase = map(int, match.groups())
            assert float(each["number"]) == study_file["runs"][run]["recipe"]["phases"][phase]["lr"]


def test_a_number_without_a_record_is_not_written():
    writer = Writer("en")
    for value in (3, 2.5, None, ["x"]):
        with pytest.raises(TypeError, match="has no record"):
            writer.pages.from_string("<< value >>").render(value=value)
    assert writer.pages.from_string("<< value >>").render(value=Fact(3, "a.csv", "row 1")) == "3"
    assert [(each["file"], each["place"]) for each in writer.numbers] == [("a.csv", "row 1")]


NUMBERS = [
    (15000, None, r"15\,000"),
    (0.0003, None, "0.0003"),
    (3e-5, None, r"\ensuremath{3\cdot 10^{-5}}"),
    (1e-6, None, r"\ensuremath{10^{-6}}"),
    (28.4149, 2, "28.41"),
    (-1.5, 2, r"\ensuremath{-1.50}"),
    (1.0, None, "1"),
    (float("nan"), 2, "--"),
]


@pytest.mark.parametrize(("value", "digits", "shown"), NUMBERS)
def test_a_number_is_written_as_a_thesis_has_it(value, digits, shown):
    assert Fact(value, "", "", digits).tex() == shown
    assert Fact(value, "", "", digits).tex("{,}") == shown.replace(".", "{,}")
    assert Fact(2.0, "", "", 2, signed=True).tex() == r"\ensuremath{+2.00}"


def test_text_becomes_latex_that_says_the_same():
    assert tex("a_b & 5% $x$ {y} #1 ~ ^") == (r"a\_b \& 5\% \$x\$ \{y\} \#1 \textasciitilde{} \textasciicircum{}")
    assert (
        tex('--out "x" `y` [z] <w>')
        == r"-{}-out \textquotedbl{}x\textquotedbl{} \textasciigrave{}y\textasciigrave{} {[}z{]} $<$w$>$"
    )
    assert tex("e\u0301 – Ł\n\nпри") == r"é \textendash{} Ł {[}U+043F{]}{[}U+0440{]}{[}U+0438{]}"


def test_the_best_is_marked_only_where_its_lead_holds():
    systems = {"ahead": ("psnr", "x4, bicubic", 1.0), "even": ("psnr", "x4, bicubic", 0.0)}
    table = facts.scored(scores(systems, {})).set_index(["set", "system"])
    assert table.loc[("Set14", "ahead"), "psnr_y_mark"] == "1"
    assert {table.loc[("Set14", name), "psnr_y_mark"] for name in ("even", "bicubic")} == {"0"}
    assert set(table.loc["Set5"]["psnr_y_mark"]) == {"0"}  # five pictures never come below 2 / 32
    assert table.loc[("Set14", "ahead"), "psnr_y_gain"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("network", [SRResNet(2, 8, 2, end="tanh"), RRDBNet(4, 8, 2, 4)])
def test_layers_add_up_to_the_network(network):
    *parts, whole = facts.layers(network, (9, 16), "study.json", "recipe.generator")
    assert whole["parameters"] == sum(part["parameters"] for part in parts) == count_parameters(network)
    assert float(whole["multiply_adds"]) * 1e9 == pytest.approx(multiply_adds(network, 9, 16))
    assert sum(float(part["multiply_adds"]) for part in parts) == pytest.approx(float(whole["multiply_adds"]))
    first = parts[0]
    kernel = 9 if isinstance(network, SRResNet) else 3
    assert float(first["multiply_adds"]) * 1e9 == pytest.approx(kernel**2 * 3 * 8 * 9 * 16)


def test_a_network_in_words_counts_what_repeats():
    blocks = [nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU()) for _ in range(2)]
    network = nn.Sequential(*blocks, nn.Conv2d(8, 12, 5, stride=2), nn.PixelShuffle(2))
    assert facts.in_words(network) == "2 × (conv 3×3, 8; BN; PReLU); conv 5×5, 12, stride 2; PixelShuffle ×2"


def test_the_bibliography_holds_what_is_cited_and_no_more(chapter):
    text = "".join(path.read_text() for path in (chapter / "generated").glob("*.tex"))
    cited = {key for keys in re.findall(r"\\cite\{([^}]*)\}", text) for key in keys.split(",")}
    assert {"ledig2017srgan", "kingma2015adam", "holm1979", "bevilacqua2012set5", "zeyde2010set14"} <= cited
    assert set(re.findall(r"^@\w+\{([^,]+),", (chapter / "references.bib").read_text(), re.MULTILINE)) == cited


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_cites_a_work_that_is_known(name):
    works = Writer("en")
    cited = works.pages.from_string("<< text | cite >>").render(text=RECIPES[name].cite)
    assert r"\cite{" in cited
    numbers = set(re.findall(r"arXiv:([\d.]+\d)", RECIPES[name].cite))
    keys = re.search(r"cite\{([^}]*)\}", cited)[1].split(",")
    found = {re.search(r"arXiv:([\d.]+)", works.works[key])[1] for key in keys}
    assert numbers <= found
    assert len(found) <= max(1, len(re.findall(r"\d{4},|\d{4}$|\d{4} \(", RECIPES[name].cite)))


REFUSED = {
    "smoke runs": (lambda folder: [a_run(folder, profile="smoke")], "srresnet-smoke-s0 is a smoke run"),
    "other data": (
        lambda folder: [a_run(folder), a_run(folder, "srgan", data=DATA | {"fingerprint": "other"})],
        "srresnet .* and srgan .* were trained on different data",
    ),
    "shipped weights": (lambda folder: [a_run(folder), "srgan_light"], "the weights of srgan_light come with srkit"),
    "no such thing": (lambda folder: ["nothing"], "nothing is neither a run's folder nor a study's file"),
    "twice": (lambda folder: [a_run(folder / "a"), a_run(folder / "b")], "srresnet, seed 0, a second time"),
    "unfinished": (lambda folder: [_without_weights(a_run(folder))], "is not trained to its end"),
    "others' scores": (
        lambda folder: [_scored(a_run(folder), "srgan_light (shipped)")],
        "which this run did not train",
    ),
    "given LR": (lambda folder: [_scored(a_run(folder), "psnr", degradation="given")], "another scale or degradation"),
    "another scale": (lambda folder: [_scored(a_run(folder), "psnr", scale=2)], "another scale or degradation"),
    "other pictures": (
        lambda folder: [_scored(a_run(folder), "psnr"), _scored(a_run(folder, seed=1), "psnr", images=3)],
        r"srresnet \(seed 0\) and srresnet \(seed 1\) were not scored on the same pictures at x4, bicubic",
    ),
}


def _without_weights(run: Path) -> Path:
    (run / "generator-psnr.safetensors").unlink()
    return run


def _scored(run: Path, method: str, images: int = 2, scale: int = 4, degradation: str = "bicubic") -> Path:
    lines = [[method, "Set5", scale, degradation, f"{n}.png", 30.0, 0.9, "a-b-c"] for n in range(images)]
    columns = ["method", "set", "scale", "degradation", "image", "psnr_y", "ssim_y", "key"]
    pd.DataFrame(lines, columns=columns).to_csv(run / "scores.csv", index=False)
    return run


@pytest.mark.parametrize("case", REFUSED)
def test_what_must_not_stand_in_a_chapter_is_refused_in_one_sentence(case, tmp_path, capsys):
    made, message = REFUSED[case]
    words = [str(word) for word in made(tmp_path)]
    assert main(["thesis", *words, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert said.count("\n") == 1
    assert not (tmp_path / "out" / "generated").exists()


def test_a_studys_record_with_a_smoke_run_is_refused(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "figures")
    (copy / "study.json").write_text((study / "study.json").read_text().replace('"laptop"', '"smoke"', 1))
    with pytest.raises(SrkitError, match="is a smoke run"):
        write_chapter([copy], tmp_path / "out")


def test_synthetic_votes_are_refused_and_of_real_ones_the_chapter_is_made_anew(study, chapter, tmp_path):
    out = shutil.copytree(chapter, tmp_path / "out")
    (out / "main.tex").write_text("mine")
    (out / "generated" / "method.tex").write_text("old")
    votes = tmp_path / "votes.csv"
    lines = ["rater,image,method,score", "synthetic 1,a,HR,5", "synthetic 1,a,srgan,3"]
    votes.write_text("\n".join(lines) + "\n")
    with pytest.raises(SrkitError, match="synthetic votes or none, which is nobody's opinion"):
        write_chapter([study], out, votes=votes)
    votes.write_text("\n".join([*lines, "anna,a,srgan,4"]).replace("synthetic 1", "ben") + "\n")
    write_chapter([study], out, votes=votes)
    assert r"{}srgan & 2 & 3.50" in (out / "generated" / "results.tex").read_text()
    assert (out / "main.tex").read_text() == "mine"
    assert (out / "generated" / "method.tex").read_text() == (chapter / "generated" / "method.tex").read_text()


def test_what_weakens_the_claims_is_warned_of_and_stands_in_the_chapter(study, tmp_path):
    recipe = fit(RECIPES["srresnet"], replace(PROFILES["laptop"], **SMALL))
    losses = {Pixel("l1"): 1.0, LPIPS("alex"): 0.1}
    run = a_run(tmp_path, "srresnet", phases=(replace(recipe.phases[0], losses=losses),), name="flattered")
    _, warned = write_chapter([_scored(run, "psnr")], tmp_path / "out", looked_at=["Set5"])
    for part in (
        "One seed was trained of flattered",
        f"Set5 has 2 pictures, fewer than {FEW}",
        "flattered was trained with LPIPS (alex) among its losses",
        "Set5 was used for choices",
    ):
        assert sum(part in warning for warning in warned) == 1, part
    threats = (tmp_path / "out" / "generated" / "threats.tex").read_text()
    assert all(tex(warning) in threats for warning in warned)
    of_study = warnings(open_records([study], tmp_path, []))
    assert [warning.partition(",")[0] for warning in of_study[:1]] == ["Set5 has 5 pictures"]


def test_a_run_that_nobody_scored_has_a_chapter_without_scores(tmp_path):
    paths, _ = write_chapter([a_run(tmp_path, "srgan")], tmp_path / "out")
    results = (tmp_path / "out" / "generated" / "results.tex").read_text()
    assert "No test set has been scored" in results
    assert "No test set was scored" in (tmp_path / "out" / "generated" / "threats.tex").read_text()
    assert "25.40" in results  # the last validation of the first phase, of its history
    assert [path.name for path in paths if path.suffix == ".pdf"] == ["srgan-history.pdf"]
    assert not (tmp_path / "srgan-laptop-s0" / "scores.csv").exists()


def test_figures_have_their_fonts_and_one_colour_a_system(chapter, slides):
    for path in (chapter / "figures").glob("*.pdf"):
        content = path.read_bytes()
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
    from srkit.figures import COLOURS, STYLE, system_colours

    assert STYLE["pdf.fonttype"] == 42
    first, second = system_colours(["srgan", "mine", "esrgan"]), system_colours(["esrgan", "srgan", "mine", "other"])
    assert all(first[name] == second[name] == COLOURS[name] for name in ("srgan", "esrgan"))
    many = system_colours([f"variant {n}" for n in range(14)])
    assert len({many[f"variant {n}"] for n in range(14)}) == 14
    assert COLOURS["bicubic"] not in [many[f"variant {n}"] for n in range(14)]


def test_columns_and_language_reach_figures_and_numbers(chapter, slides):
    def width(path: Path) -> float:
        return float(re.search(rb"MediaBox \[ 0 0 ([\d.]+)", path.read_bytes())[1]) / 72

    assert width(chapter / "figures" / "tiny-curves.pdf") == pytest.approx(6.3, abs=0.01)
    assert width(slides / "figures" / "srresnet-plane.pdf") == pytest.approx(3.25, abs=0.01)
    assert "twocolumn" in (slides / "main.tex").read_text()
    assert "Tabelle" in (slides / "main.tex").read_text()
    results = (slides / "generated" / "results.tex").read_text()
    assert "figure*" in results
    assert re.search(r"\d+\{,\}\d\d\b", results)
    assert not re.search(r"& \d+\.\d", results)


def test_slides_are_wide_and_the_slider_moves(slides):
    made = {path.suffix for path in (slides / "slides").iterdir()}
    assert made == {".pdf", ".png", ".gif"}
    for path in (slides / "slides").glob("*.png"):
        with Image.open(path) as picture:
            assert picture.width / picture.height == pytest.approx(16 / 9, abs=0.01)
    with Image.open(next((slides / "slides").glob("*.gif"))) as film:
        assert film.n_frames > 3


def test_runs_and_a_studys_file_make_one_chapter(study, tmp_path):
    text = '[study]\nname = "tiny"\nprofile = "laptop"\ndata = "starter"\nseeds = [0]\n[[system]]\nrecipe = "srgan"\n'
    (tmp_path / "tiny.toml").write_text(text)
    paths, _ = write_chapter([a_run(tmp_path, "esrgan"), tmp_path / "tiny.toml"], tmp_path / "out", figures=study)
    generated = tmp_path / "out" / "generated"
    assert r"{}srgan & srresnet & x4, bicubic & \ensuremath{-1.5" in (generated / "ablation.tex").read_text()
    assert "esrgan" in (generated / "method.tex").read_text()
    assert {"esrgan-history.pdf", "tiny-plane.pdf"} <= {path.name for path in paths}

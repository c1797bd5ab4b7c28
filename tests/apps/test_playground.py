"""What stands behind notebook 07: which systems are offered, the mixed network, scores, crops, uploads and limits."""

import json
import threading
import time
from dataclasses import replace
from io import BytesIO

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage.data import chelsea

import srkit
from srkit.apps.page import as_page
from srkit.apps.playground import Limits, Playground, read_upload, within
from srkit.course.notebooks import chapters
from srkit.evaluation import enlarge, evaluate, lr_of
from srkit.files import SrkitError
from srkit.generator import SRResNet, interpolate
from srkit.no_reference import niqe
from srkit.pretrained import System, find_systems
from srkit.profiles import PROFILES
from srkit.training import train

pytestmark = pytest.mark.usefixtures("one_thread", "exact")


def network(seed: int, scale: int = 4) -> SRResNet:
    torch.manual_seed(seed)
    made = SRResNet(scale, channels=4, blocks=1, norm=None, ends_kernel=3, skip=True)
    torch.nn.init.normal_(made.tail[0].weight, std=0.02)  # with a skip it starts at 0, as bicubic
    return made.eval()


@pytest.fixture
def files(tmp_path):
    rng, made = np.random.default_rng(0), {}
    for name, size in {"first.png": (130, 98), "second.png": (96, 128)}.items():
        grey = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
        made[name] = tmp_path / name
        Image.fromarray(grey).resize(size[::-1], Image.Resampling.BICUBIC).save(made[name])
    return made


@pytest.fixture
def systems():
    return [
        System("both", 4, "both x4", "", {"psnr": lambda: network(0), "gan": lambda: network(1)}),
        System("one", 4, "psnr x4", "", {"psnr": lambda: network(0)}),
        System("gan", 4, "gan x4", "", {"gan": lambda: network(6)}),
        System("public", 4, "file x4", "", {"public": lambda: network(7)}),
        System("both", 2, "both x2", "", {"psnr": lambda: network(2, 2), "gan": lambda: network(3, 2)}),
    ]


def png(picture: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


def send(play: Playground, name: str, content: bytes, size: int | None = None) -> None:
    """As the browser does."""
    state = {"name": name, "size": size or len(content), "content": memoryview(content)}
    play.upload.set_state(state | {"count": play.upload.count + 1})


def test_own_runs_come_first_and_those_of_smoke_last(tmp_path):
    tiny = replace(PROFILES["smoke"], psnr_steps=1, gan_steps=1, channels=4, blocks=1, validate_on=(1, 48))
    train("srresnet", tiny, runs=tmp_path)
    run = train("srgan", tiny, runs=tmp_path, perceptual_weights="random")
    assert find_systems(tmp_path)[-1].label.startswith("sr")
    config = run.config | {"profile": "laptop"}
    (run.folder / "config.json").write_text(json.dumps(config))
    found = find_systems(tmp_path, "srresnet")
    assert [found[0].label, found[-1].label] == [run.folder.name, "srresnet-smoke-s0"]
    assert (found[0].gan is None, found[-1].gan is None) == (False, True)
    assert found[0].gan().state_dict().keys() == found[0].psnr().state_dict().keys()
    assert all("(shipped)" in system.label for system in found[1:-1])


def test_the_scores_are_those_of_the_protocol(files, systems):
    play = Playground(files, systems)
    assert list(play.pictures) == ["LR", "bicubic", "PSNR network", "GAN, alpha 1.00", "HR"]
    methods = {"bicubic": "bicubic", "PSNR network": network(0), "GAN, alpha 1.00": network(1)}
    table = evaluate(methods, [files["first.png"]], 4)
    for row in table.itertuples():
        assert play.scores.loc[row.method, "LPIPS-squeeze"] == pytest.approx(row.lpips_squeeze, abs=1e-5)
        assert play.scores.loc[row.method, "PSNR-Y (dB)"] == pytest.approx(row.psnr_y)
        assert play.scores.loc[row.method, "SSIM-Y"] == pytest.approx(row.ssim_y)
    assert "24 x 32 became 96 x 128" in play.said
    assert play.slider.labels[play.slider.right] == "GAN, alpha 1.00"


def test_alpha_changes_one_picture_and_leaves_the_others(files, systems):
    play = Playground(files, systems)
    before = dict(play.pictures)
    play.alpha.value = 0.5
    assert list(play.pictures) == ["LR", "bicubic", "PSNR network", "GAN, alpha 0.50", "HR"]
    expected = srkit.upscale(play.lr, interpolate(network(0), network(1), 0.5))
    np.testing.assert_array_equal(play.pictures["GAN, alpha 0.50"], expected)
    assert all(play.pictures[name] is before[name] for name in ("LR", "bicubic", "PSNR network", "HR"))
    assert list(play.scores.index) == list(play.pictures)[:-1]


def test_without_a_gan_network_it_is_said_plainly_and_alpha_rests(files, systems):
    play = Playground(files, systems)
    play.recipe.value = systems[1]
    assert "psnr x4 has one set of weights here" in play.said
    assert play.alpha.disabled
    assert list(play.pictures) == ["LR", "bicubic", "PSNR network", "HR"]
    play.scale.value = 2
    assert (play.system.label, play.alpha.disabled) == ("both x2", False)
    assert play.pictures["bicubic"].shape == (130, 98, 3)


def test_a_drawn_crop_leads_to_the_same_pixels_of_the_photograph(files, systems):
    play = Playground(files, systems)
    play.slider.set_state({"box": [8, 12, 80, 72]})
    photograph = np.asarray(Image.open(files["first.png"]))
    np.testing.assert_array_equal(play.hr, photograph[8:88, 12:84])
    play.slider.set_state({"box": [4, 8, 64, 64]})  # a crop of the crop
    np.testing.assert_array_equal(play.hr, photograph[12:76, 20:84])
    play.slider.set_state({"box": [0, 0, 20, 20]})
    assert "too few" in play.said
    assert play.hr.shape == (64, 64, 3)
    play.whole.click()
    assert play.hr.shape == (128, 96, 3)


def test_an_uploaded_picture_is_enlarged_and_as_the_truth_it_is_scored(files, systems):
    play = Playground(files, systems)
    mine = np.random.default_rng(1).integers(0, 256, (66, 70, 3), dtype=np.uint8)
    send(play, "first.png", png(mine))  # a name that is there already
    assert play.photo.value == "first.png (yours)"
    assert list(play.scores) == ["NIQE"]
    np.testing.assert_array_equal(play.pictures["PSNR network"], srkit.upscale(mine, network(0)))
    np.testing.assert_array_equal(play.pictures["bicubic"], enlarge(mine, 4))
    play.slider.set_state({"box": [40, 80, 100, 120]})
    np.testing.assert_array_equal(play.lr, mine[10:35, 20:50])
    play.truth.value = True
    np.testing.assert_array_equal(play.lr, lr_of(mine[:64, :68], 4))
    assert play.scores.dropna().index.tolist() == list(play.pictures)[:-1]
    assert play.upload.content == b""
    play.photo.value = "second.png"
    assert (play.truth.value, play.truth.disabled) == (True, True)


def test_niqe_stands_beside_each_picture_that_is_large_enough_for_it(files, systems):
    play = Playground(files, systems)
    send(play, "mine.png", png(chelsea()[:200, 100:300]))
    for truth in (False, True):
        play.truth.value = truth
        assert play.scores["NIQE"].to_dict() == {label: niqe(picture) for label, picture in play.pictures.items()}
        assert "sharpening alone lowers it" in play.table.value
        assert ("so that HR is known" in play.table.value) != truth
    assert play.scores.loc["HR"].drop("NIQE").isna().all()
    send(play, "small.png", png(chelsea()[100:180, 100:190]))
    play.truth.value = True
    assert "NIQE" not in play.table.value
    assert list(play.scores.index) == ["LR", "bicubic", "PSNR network", "GAN, alpha 1.00"]


@pytest.mark.parametrize(
    ("content", "size", "words"),
    [
        (b"", 9_000_000, r"x\.png has 9\.0 MB, and at most 8 MB"),
        (png(np.zeros((700, 700), np.uint8)), 1, "700 x 700, 490,000 pixels, and at most 400,000"),
        (png(np.zeros((9_000, 9_000), np.uint8)), 1, "81,000,000 pixels"),
        (png(np.zeros((90, 90), np.uint8))[:-30], 1, r"x\.png does not open as a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 1, r"x\.png does not open as a picture"),
        (b"", 0, r"x\.png does not open as a picture"),
    ],
)
def test_what_is_over_a_limit_or_no_picture_is_refused_in_words(content, size, words):
    with pytest.raises(SrkitError, match=words):
        read_upload("x.png", content, size, Limits())


def test_an_upload_with_more_text_than_pillow_reads_is_taken_all_the_same():
    picture, text, file = chelsea()[:90, :90], PngInfo(), BytesIO()
    text.add_text("long", "x" * 3_000_000, zip=True)
    Image.fromarray(picture).save(file, "png", pnginfo=text)
    assert (read_upload("x.png", file.getvalue(), 1, Limits()) == picture).all()


def test_an_upload_turns_to_a_system_for_real_photographs_and_the_courses_pictures_turn_back(files, systems):
    card = {"recipe": {"degradation": {"name": "HighOrder", "strength": 1.0}}}
    phases = {"psnr": lambda: network(4), "gan": lambda: network(5)}
    real = System("mine", 4, "real x4", "", phases, {"psnr": card})
    play = Playground(files, [*systems, real])
    play.scale.value = 2
    picture = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    send(play, "mine.png", png(picture))
    assert (play.system.label, play.scale.value) == ("real x4", 4)
    np.testing.assert_array_equal(play.pictures["PSNR network"], srkit.upscale(picture, network(4)))
    play.recipe.value = systems[0]
    assert play.system.label == "both x4"
    send(play, "other.png", png(picture))
    assert play.system.label == "real x4"
    play.photo.value = "second.png"
    assert play.system.label == "both x4"


def test_a_refused_upload_changes_nothing_but_the_words(files, systems):
    play = Playground(files, systems, Limits(upload_bytes=1000))
    before = dict(play.pictures)
    send(play, "<b>.png", b"0" * 2000)
    assert "<b>.png has" in play.said
    assert "<b>" not in play.message.value
    assert play.pictures == before
    assert play.photo.options == tuple(files)


def test_a_large_photograph_of_ours_starts_with_its_middle(files, systems):
    play = Playground(files, systems, Limits(pixels=400))
    assert play.lr.shape == (20, 20, 3)
    photograph = np.asarray(Image.open(files["first.png"]))
    np.testing.assert_array_equal(play.hr, photograph[25:105, 9:89])


def test_an_answer_that_takes_too_long_is_stopped_and_the_next_one_comes(files, systems, monkeypatch):
    play = Playground(files, systems)
    before = play.pictures
    with monkeypatch.context() as patch:
        patch.setattr("srkit.apps.playground.upscale", lambda lr, network: time.sleep(30))
        play.limits = Limits(seconds=0.3)
        play.alpha.value = 0.2
    assert "more than 0.3 seconds and was stopped" in play.said
    assert play.pictures is before
    play.limits = Limits()
    play.alpha.value = 0.4
    assert "alpha 0.40" in play.said


def test_a_first_answer_that_takes_too_long_leaves_a_playground_that_says_so(files, systems, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("srkit.apps.playground.upscale", lambda lr, network: time.sleep(30))
        play = Playground(files, systems, Limits(seconds=0.1))
    assert "was stopped" in play.said
    play.limits = Limits()
    play.whole.click()
    assert "24 x 32 became 96 x 128" in play.said


def test_the_limit_of_time_is_off_outside_the_main_thread():
    done = []

    def work():
        with within(0.01):
            time.sleep(0.05)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_the_page_holds_the_cells_that_it_needs_and_takes_its_settings():
    (chapter,) = (chapter for chapter in chapters() if chapter.number == "07")
    notebook = as_page(nbformat.read(chapter.path, 4), {"PIXELS": 7, "RUNS": "a folder"}, "Goodbye.")
    sources = [cell["source"] for cell in notebook["cells"]]
    names = {}
    exec(sources[0] + "\n" + sources[1], names)
    assert (names["PIXELS"], names["RUNS"], names["ALPHA"]) == (7, "a folder", 1.0)
    assert sources[-2].endswith("play.view()")
    assert sources[-1] == "Goodbye."
    assert not any("save_figure(" in source or "WRITES" in source for source in sources)
    (quiet,) = (source for source in sources if "lpips_judge(" in source)
    assert quiet.startswith("%%capture\n")

"""The protocol gives the literature's numbers, and each score agrees with a closed form or another library."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.data import chelsea
from torch import nn
from torchmetrics.functional.image import structural_similarity_index_measure

from srkit.cli import main
from srkit.data.sources import find_pictures
from srkit.degradations import WILD
from srkit.evaluation import bicubic, costs, enlarge, evaluate, lr_of, psnr_y, ssim_y, summary, super_resolve
from srkit.files import SrkitError
from srkit.generator import SRResNet
from srkit.images import crop_to_multiple, luma, read_image, to_tensor, write_image
from srkit.metrics import lpips_judge
from srkit.pretrained import load
from srkit.resize import imresize
from srkit.scoring import judged, scores
from srkit.tiles import enlarge_in_tiles
from srkit.wrappers import Sharpened

# Bicubic, PSNR-Y in dB and SSIM-Y, as the super-resolution papers print it.
LITERATURE = {
    "Set5": {2: (33.66, 0.9299), 3: (30.39, 0.8682), 4: (28.42, 0.8104)},
    "Set14": {2: (30.24, 0.8688), 3: (27.55, 0.7742), 4: (26.00, 0.7027)},
    "BSD100": {2: (29.56, 0.8431), 3: (27.21, 0.7385), 4: (25.96, 0.6675)},
    "Urban100": {2: (26.88, 0.8403), 3: (24.46, 0.7349), 4: (23.14, 0.6577)},
}
NAMED = ["method", "set", "scale", "image", "psnr_y", "ssim_y", "psnr_rgb", "lpips", "seconds"]
LARGE = ("BSD100", "Urban100")
ROWS = [
    pytest.param(name, scale, marks=[pytest.mark.slow] * (name in LARGE))
    for name, scales in LITERATURE.items()
    for scale in scales
]


@pytest.mark.parametrize(("name", "scale"), ROWS)
def test_bicubic_has_the_literatures_scores(shared, name, scale):
    images = find_pictures(shared / "benchmarks" / name)
    means = summary(evaluate({"bicubic": "bicubic"}, images, scale, lpips=False)).iloc[0]
    psnr, ssim = LITERATURE[name][scale]
    assert (means["set"], means["images"]) == (name, len(images))
    assert means["psnr_y"] == pytest.approx(psnr, abs=0.01)
    assert means["ssim_y"] == pytest.approx(ssim, abs=0.002)


@pytest.fixture(scope="module")
def hr() -> np.ndarray:
    return crop_to_multiple(chelsea(), 12)


@pytest.mark.parametrize("levels", [1, 5, 40])
def test_psnr_of_an_even_error(levels):
    grey = np.full((20, 30), 100, np.uint8)
    assert psnr_y(grey + np.uint8(levels), grey, 2) == pytest.approx(20 * np.log10(255 / levels))


def test_psnr_on_colours_is_that_of_their_luma(hr):
    sr = np.roll(hr, 1, axis=1)
    y, z = (np.round(16 + x.astype(float) @ [65.481, 128.553, 24.966] / 255) for x in (sr, hr))
    error = np.mean((y - z)[4:-4, 4:-4] ** 2)
    assert psnr_y(sr, hr, 4) == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    assert psnr_y(luma(sr), hr, 4) == psnr_y(sr, hr, 4)


def test_the_border_is_not_looked_at(hr):
    """Beside it the pictures are equal: endless PSNR, and an SSIM of one."""
    spoilt = hr.copy()
    for edge in (spoilt[:4], spoilt[-4:], spoilt[:, :4], spoilt[:, -4:]):
        edge[:] = 0
    assert psnr_y(spoilt, hr, 4) == float("inf")
    assert ssim_y(spoilt, hr, 4) == pytest.approx(1)
    assert psnr_y(spoilt, hr, 3) < 40
    assert psnr_y(spoilt, hr, 0) < psnr_y(spoilt, hr, 3)


def test_ssim_is_that_of_torchmetrics_where_the_window_fits_whole(hr):
    """Its mean also counts the places at the edge, where the window is filled up with a mirrored picture."""
    sr, y = bicubic(hr, 4)[4:-4, 4:-4], luma(hr)[4:-4, 4:-4]
    pair = (torch.from_numpy(x.astype(np.float32))[None, None] for x in (sr, y))
    _, everywhere = structural_similarity_index_measure(*pair, data_range=255.0, return_full_image=True)
    assert ssim_y(sr, y, 0) == pytest.approx(float(everywhere[..., 5:-5, 5:-5].mean()), abs=1e-4)


def test_ssim_of_two_flat_pictures():
    """No variance: only the means' term is left, (2 a b + c) / (a^2 + b^2 + c) with c = (0.01 255)^2."""
    a, b, c = 100, 120, 2.55**2
    expected = (2 * a * b + c) / (a * a + b * b + c)
    assert ssim_y(np.full((40, 40), a, np.uint8), np.full((40, 40), b, np.uint8), 2) == pytest.approx(expected)


PROBE = (24, 24)  # of `srkit.fingerprints`


class Recorder(nn.Module):
    """Keeps the LR that it was given, and answers with the nearest pixels, made a little too bright."""

    def __init__(self, scale: int, bright: float = 0.0):
        super().__init__()
        self.scale, self.bright, self.seen = scale, nn.Parameter(torch.tensor(bright)), []

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        if lr.shape[2:] != PROBE:
            self.seen.append(lr)
        return nn.functional.interpolate(lr, scale_factor=self.scale) + self.bright


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_network_gets_8_bit_rgb_by_the_same_resize(tmp_path, hr, scale):
    write_image(tmp_path / "a.png", hr)
    network = Recorder(scale).train()
    evaluate({"it": network}, [tmp_path / "a.png"], scale)
    (lr,) = network.seen
    expected = imresize(to_tensor(hr), 1 / scale).clamp(0, 1).mul(255).round()
    torch.testing.assert_close(lr * 255, expected, atol=1e-4, rtol=0)
    assert lr.shape == (1, 3, hr.shape[0] // scale, hr.shape[1] // scale)
    assert network.training  # left as it was


def test_a_grey_file_is_its_own_luma(tmp_path, hr):
    write_image(tmp_path / "grey.png", hr[..., 1])
    network = Recorder(4)
    table = evaluate({"bicubic": "bicubic", "it": network, "nearest": "nearest"}, [tmp_path / "grey.png"], 4)
    table = table.set_index("method")["psnr_y"]
    assert network.seen[0].shape[1] == 3
    assert table["bicubic"] == pytest.approx(psnr_y(bicubic(hr[..., 1], 4), hr[..., 1], 4))
    # The methods' RGB answer is made grey in HR's own range, 0 to 255, and not in luma's.
    near = enlarge(lr_of(hr[..., 1], 4), 4, "nearest")[..., 0]
    assert table["it"] == table["nearest"] == pytest.approx(psnr_y(near, hr[..., 1], 4))


def stores(grey: np.ndarray, folder: Path) -> dict[str, Path]:
    """One grey photograph in every way that files keep grey."""
    picture, folder = Image.fromarray(grey), folder / "stores"
    folder.mkdir()
    palette = Image.fromarray(255 - grey).convert("P")
    palette.putdata((255 - grey).ravel().tolist())
    palette.putpalette([255 - n // 3 for n in range(768)])
    kinds = {
        "8 bits": picture,
        "16 bits": Image.fromarray(grey.astype(np.uint16) * 257),
        "with alpha": picture.convert("LA"),
        "palette": palette,
        "RGB": picture.convert("RGB"),
        "RGBA": picture.convert("RGBA"),
    }
    for name, each in kinds.items():
        each.save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in kinds}


def test_grey_scores_alike_however_it_is_stored(tmp_path, hr):
    """Neither the table nor a picture's own score may depend on the file: a difference of 1.3 dB, if it did."""
    grey, found = hr[:96, 60:180, 1], {}
    network = Recorder(4, bright=0.02)
    for name, path in stores(grey, tmp_path).items():
        table = evaluate({"bicubic": "bicubic", "it": network}, [path], 4, save=tmp_path / "sr").set_index("method")
        found[name] = table.drop(columns=["image", "seconds", "key"])
        assert psnr_y(super_resolve(network, lr_of(read_image(path), 4)), read_image(path), 4) == table["psnr_y"]["it"]
    for table in found.values():
        pd.testing.assert_frame_equal(table, found["8 bits"])
    error = super_resolve(network, lr_of(grey, 4))[..., 0].astype(float) - grey  # and by hand, on one channel
    by_hand = 10 * np.log10(255**2 / np.mean(error[4:-4, 4:-4] ** 2))
    assert found["RGB"]["psnr_y"]["it"] == pytest.approx(by_hand, abs=1e-3)


def test_a_benchmarks_grey_rgb_file_has_the_papers_score_however_it_is_stored(shared, tmp_path):
    """Set14's man: the papers' codes saw three channels, and put them through 16..235."""
    man = read_image(shared / "benchmarks" / "Set14" / "man.png")
    found = {
        name: evaluate({"bicubic": "bicubic", "near": "nearest"}, [path], 4, lpips=False)["psnr_y"].tolist()
        for name, path in stores(man[..., 0], tmp_path).items()
    }
    assert all(scores == found["RGB"] for scores in found.values())
    y, near = luma(man), luma(enlarge(lr_of(man, 4), 4, "nearest"))
    assert found["RGB"][1] == pytest.approx(psnr_y(near, y, 4))


def test_grey_sr_files_score_alike_however_they_are_stored(tmp_path, hr):
    grey = hr[:96, 60:180, 1]
    files = stores(enlarge(lr_of(grey, 4), 4)[..., 0], tmp_path)
    for kind in ("L", "RGB"):
        Image.fromarray(grey).convert(kind).save(tmp_path / f"{kind}.png")
        found = set()
        for name, path in files.items():
            folder = tmp_path / f"{name} {kind}"
            folder.mkdir()
            (folder / f"{kind}.png").write_bytes(path.read_bytes())
            table = evaluate({"theirs": folder}, [tmp_path / f"{kind}.png"], 4)
            found.add(tuple(table.loc[0, ["psnr_y", "ssim_y", "psnr_rgb", "lpips_squeeze"]]))
        assert len(found) == 1


def test_a_method_that_nobody_knows_is_refused_and_not_taken_for_bicubic(some, tmp_path):
    for method in ("lanczos", None, 3, tmp_path / "nowhere", str(some[0])):
        with pytest.raises(SrkitError, match="x: .* (is no method: give .* one of bicu|does not hold just weights)"):
            evaluate({"bicubic": "bicubic", "x": method}, some, 4)
    with pytest.raises(SrkitError, match="'lanczos' enlarges nothing"):
        enlarge(np.zeros((9, 9, 3), np.uint8), 4, "lanczos")


def test_a_method_is_what_resolve_says_a_name_a_network_a_run_or_a_folder_of_sr(some, tmp_path):
    named = evaluate({"it": "srresnet_light"}, some, 4, save=tmp_path / "sr")
    itself = evaluate({"it": load("srresnet_light", 4)}, some, 4)
    folder = evaluate({"it": str(tmp_path / "sr" / "it")}, some, 4)
    for other in (itself, folder):
        pd.testing.assert_series_equal(named["psnr_y"], other["psnr_y"])
    assert costs({"it": "srresnet_light"}, 4)["parameters"][0] > 100_000


def test_weights_that_are_no_numbers_or_not_float32_are_refused_and_not_scored(some):
    with pytest.raises(SrkitError, match="it: Recorder holds weights that are not finite numbers"):
        evaluate({"it": Recorder(4, bright=float("nan"))}, some, 4)
    for halved in (Recorder(4).half(), Recorder(4).double()):
        with pytest.raises(SrkitError, match="it: Recorder holds torch.float.. weights, .* give network.float"):
            evaluate({"it": halved}, some, 4)
    network = Recorder(4)
    network.register_forward_hook(lambda module, lr, sr: sr.where(torch.rand(sr.shape) < 0.9, torch.nan))
    with pytest.raises(SrkitError, match="0.png: the network's answer is not a number everywhere"):
        evaluate({"it": network}, some[:1], 4)


def test_a_networks_answer_is_clipped_and_rounded():
    lr = np.full((3, 4, 3), 250, np.uint8)
    assert (super_resolve(Recorder(2, bright=0.5), lr) == 255).all()
    assert (super_resolve(Recorder(2, bright=0.6 / 255), lr) == 251).all()
    assert super_resolve(Recorder(2), lr).shape == (6, 8, 3)


def test_nearest_repeats_pixels_and_bicubic_keeps_the_sizes(hr):
    lr = lr_of(hr, 3)
    assert lr.dtype == np.uint8
    near = enlarge(lr, 3, "nearest")
    for row in range(3):
        np.testing.assert_array_equal(near[row::3, 1::3], lr)
    assert enlarge(lr, 3).shape == hr.shape
    assert psnr_y(enlarge(lr, 3), hr, 3) > psnr_y(near, hr, 3)


def test_the_table_has_a_row_for_each_image_and_method(tmp_path, hr):
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "some set" / name, hr[:62, :63])
    images = find_pictures(tmp_path / "some set")
    methods = {"near": "nearest", "cubic": "bicubic"}
    table = evaluate(methods, images, 4, save=tmp_path / "sr")
    assert [name for name in table if name in NAMED] == NAMED
    assert table[["image", "method"]].to_numpy().tolist() == [[i, m] for i in ("a.png", "b.png") for m in methods]
    assert set(table["set"]) == {"some set"}
    assert set(evaluate(methods, images, 4, set_name="starter")["set"]) == {"starter"}
    saved = read_image(tmp_path / "sr" / "near" / "some set" / "a.png")
    assert saved.shape == (60, 60, 3)
    assert psnr_y(saved, hr[:60, :60], 4) == table["psnr_y"][0]


def test_summary_is_the_mean_of_each_method():
    table = pd.DataFrame(
        {
            "method": list("baba"),
            "set": "s",
            "scale": 4,
            "psnr_y": [30.0, 20.0, 32.0, 21.0],
            "ssim_y": 0.5,
            "seconds": 1.0,
        }
    )
    means = summary(table)
    assert means[["method", "psnr_y", "images"]].to_numpy().tolist() == [["b", 31.0, 2], ["a", 20.5, 2]]


def test_what_cannot_be_scored_is_named(hr, tmp_path):
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(SrkitError, match="words.png does not open"):
        evaluate({"bicubic": "bicubic"}, [tmp_path / "words.png"], 4)
    with pytest.raises(SrkitError, match="of 10 x 32 is smaller than SSIM's window of 11"):
        ssim_y(hr[:40, :18], hr[:40, :18], 4)
    with pytest.raises(SrkitError, match=r"SR is 20 x 10 and HR is 24 x 10: they must be of one size\."):
        psnr_y(hr[:10, :20], hr[:10, :24], 4)


@pytest.fixture
def some(tmp_path, hr):
    """Three HR pictures of different size in a folder."""
    for number, side in enumerate((48, 53, 64)):
        write_image(tmp_path / "hr" / f"{number}.png", hr[side : 2 * side, side : 2 * side])
    return find_pictures(tmp_path / "hr")


class Stopping(list):
    """Takes two, and at the third somebody presses Ctrl-C."""

    def append(self, item: object) -> None:
        if len(self) == 2:
            raise KeyboardInterrupt
        super().append(item)


def test_an_interrupted_evaluation_goes_on_where_it_stopped(some, tmp_path):
    network, file = Recorder(4), tmp_path / "out.csv"
    network.seen = Stopping(network.seen)
    methods = {"bicubic": "bicubic", "it": network}
    with pytest.raises(KeyboardInterrupt):
        evaluate(methods, some, 4, csv=file)
    assert len(pd.read_csv(file)) == 5  # two pictures by both, the third by bicubic
    file.write_text(file.read_text() + "it,hr,4,2.p")  # and a line that was cut off
    network.seen = [*network.seen]
    table = evaluate(methods, some, 4, csv=file)
    assert len(network.seen) == 3  # each picture once
    pd.testing.assert_frame_equal(table, pd.read_csv(file), check_dtype=False, atol=1e-5)
    assert evaluate(methods, some, 4, csv=file)["seconds"].tolist() == pd.read_csv(file)["seconds"].tolist()
    assert len(network.seen) == 3


def test_folders_of_one_name_are_two_sets_in_table_csv_and_files(tmp_path, hr):
    for number, folder in enumerate(("A", "B")):
        write_image(tmp_path / folder / "original" / "000.png", hr[48 * number :][:48, :48])
    images, network = find_pictures(tmp_path), Recorder(4)
    how = {"csv": tmp_path / "out.csv", "save": tmp_path / "sr"}
    table = evaluate({"it": network}, images, 4, **how)
    assert table["set"].tolist() == ["A/original", "B/original"]
    assert table["psnr_y"].nunique() == 2
    assert len(pd.read_csv(tmp_path / "out.csv")) == 2
    assert len(find_pictures(tmp_path / "sr")) == 2
    assert evaluate({"it": network}, images, 4, set_name="both")["image"].tolist() == [
        "A/original/000.png",
        "B/original/000.png",
    ]
    read = evaluate({"it": tmp_path / "sr" / "it"}, images, 4)
    assert read["psnr_y"].tolist() == table["psnr_y"].tolist()
    for folder in ("A", "B"):  # one after the other, which do not know of each other
        evaluate({"it": network}, find_pictures(tmp_path / folder), 4, csv=tmp_path / "apart.csv")
    assert sorted(pd.read_csv(tmp_path / "apart.csv")["psnr_y"]) == pytest.approx(sorted(table["psnr_y"]), abs=1e-5)


def test_two_sets_saved_into_one_folder_keep_the_pictures_of_both(tmp_path, hr):
    """Set5 and Set14, each by a command of its own: their pictures may have the same names."""
    for number, folder in enumerate(("Set5", "Set14")):
        write_image(tmp_path / folder / "000.png", hr[48 * number :][:48, :48])
        evaluate({"it": Recorder(4)}, find_pictures(tmp_path / folder), 4, save=tmp_path / "sr", lpips=False)
    for folder in ("Set5", "Set14"):
        sr = enlarge(lr_of(read_image(tmp_path / folder / "000.png"), 4), 4, "nearest")
        np.testing.assert_array_equal(read_image(tmp_path / "sr" / "it" / folder / "000.png"), sr)


def test_two_files_of_one_stem_are_saved_as_two_and_found_again(tmp_path, hr):
    write_image(tmp_path / "hr" / "a.png", hr[:48, :48])
    write_image(tmp_path / "hr" / "a.bmp", hr[48:96, 48:96])
    images = find_pictures(tmp_path / "hr")
    table = evaluate({"it": Recorder(4)}, images, 4, save=tmp_path / "sr")
    assert {path.name for path in find_pictures(tmp_path / "sr")} == {"a.png.png", "a.bmp.png"}
    again = evaluate({"it": tmp_path / "sr" / "it"}, images, 4)
    assert again["psnr_y"].tolist() == table["psnr_y"].tolist()
    (tmp_path / "sr" / "it" / "hr" / "a.png.png").rename(tmp_path / "sr" / "it" / "hr" / "a.png")
    (tmp_path / "sr" / "it" / "hr" / "a.bmp.png").unlink()
    with pytest.raises(SrkitError, match="does not say which SR is of .*hr/a.bmp"):
        evaluate({"it": tmp_path / "sr" / "it"}, images, 4)


def test_what_changes_a_networks_answer_is_scored_anew(some, tmp_path, monkeypatch, hr):
    network, file = Recorder(4), tmp_path / "out.csv"
    evaluate({"bicubic": "bicubic"}, some, 4, csv=file)

    def times(factor: float):
        return lambda module, lr, sr: sr * factor

    def scored() -> int:
        before = len(network.seen)
        table = evaluate({"it": network}, some, 4, csv=file)
        fresh = evaluate({"it": network}, some, 4)
        pd.testing.assert_series_equal(table["psnr_y"], fresh["psnr_y"], atol=1e-5)
        return len(network.seen) - before - len(some)

    assert scored() == 3
    assert scored() == 0
    for factor in (0.9, 0.8):  # the same code with another number
        hook = network.register_forward_hook(times(factor))
        assert scored() == 3
        hook.remove()
    network.sharpening = 0.5
    assert scored() == 3
    assert scored() == 0
    monkeypatch.setattr("srkit.fingerprints.__version__", "99")
    assert scored() == 3
    assert scored() == 0
    with torch.no_grad():
        network.bright += 0.1
    assert scored() == 3
    write_image(some[1], hr[:48, :48])
    assert scored() == 1
    assert pd.read_csv(file)["method"].tolist() == ["bicubic"] * 3 + ["it"] * 3


class Gain(nn.Module):
    """One's own: what it answers stands in no weight, and in no plain setting."""

    scale = 4

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, lr):
        return self.how["bright"](nn.functional.interpolate(lr, scale_factor=4))


def test_code_of_ones_own_that_changed_is_scored_anew(some, tmp_path):
    """As a notebook's cell that is run again: nothing but its answer tells the two networks apart."""
    file = tmp_path / "out.csv"
    for factor in (1.0, 0.8):
        network = Gain({"bright": lambda sr, factor=factor: sr * factor})
        how = {"lpips": False}
        table = evaluate({"it": network}, some, 4, csv=file, **how)
        fresh = evaluate({"it": network}, some, 4, **how)
        pd.testing.assert_series_equal(table["psnr_y"], fresh["psnr_y"], atol=1e-5)
    built_in = nn.Upsample(scale_factor=4)
    bright = evaluate({"up": built_in}, some, 4, csv=file, **how)["psnr_y"]
    built_in.forward = lambda lr: nn.functional.interpolate(lr, scale_factor=4) * 0.8
    assert (evaluate({"up": built_in}, some, 4, csv=file, **how)["psnr_y"] < bright - 1).all()


def test_a_degradation_of_ones_own_that_changed_is_scored_anew(some, tmp_path):
    file, found = tmp_path / "out.csv", []

    class Dark:
        factor = 1.0

        def __call__(self, hr, scale, seed):
            return nn.functional.avg_pool2d(hr, scale) * self.factor

        def __repr__(self):  # as a function's, whose address another one may have next
            return "<function dark at 0x7ff7c2f74540>"

    for factor in (1.0, 0.5):
        dark = Dark()
        dark.factor = factor
        table = evaluate({"bicubic": "bicubic"}, some, 4, csv=file, lpips=False, degradation=dark)
        found.append(table["psnr_y"].mean())
        assert set(table["degradation"]) == {"<function dark>"}
    assert found[1] < found[0] - 3
    assert len(pd.read_csv(file)) == 3


def test_names_in_another_encoding_are_scored_and_kept(hr, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    path = folder / os.fsdecode(b"\xe9t\xe9.png")
    try:
        write_image(path, hr[:48, :48])
    except (OSError, SrkitError):
        pytest.skip("this file system takes UTF-8 names alone")
    how = {"csv": tmp_path / "out.csv", "save": tmp_path / "sr", "lpips": False}
    for _ in range(2):
        table = evaluate({"bicubic": "bicubic"}, [path], 4, **how)
        assert table[["set", "image"]].to_numpy().tolist() == [["caf\\udce9", "\\udce9t\\udce9.png"]]
        assert len(pd.read_csv(tmp_path / "out.csv")) == 1
    assert (tmp_path / "sr" / "bicubic" / "caf\\udce9" / "\\udce9t\\udce9.png").exists()


def test_pictures_of_12_bits_are_named_and_scored_by_their_white(hr, tmp_path):
    """Like the same picture in 8 bits: 55 dB would be those of a black one."""
    grey = hr[:96, :96, 1]
    write_image(tmp_path / "8" / "a.png", grey)
    (tmp_path / "12").mkdir()
    twelve = (grey.astype(np.uint32) * 4095 // 255).astype(np.uint16)
    Image.fromarray(twelve).save(tmp_path / "12" / "a.png")
    methods, how = {"bicubic": "bicubic", "ready": tmp_path / "12"}, {"lpips": False, "csv": tmp_path / "out.csv"}
    right = evaluate({"bicubic": "bicubic"}, [tmp_path / "8" / "a.png"], 4, lpips=False)["psnr_y"].item()
    with pytest.warns(UserWarning, match="nearly black: a.png; of their 16 bits no value is over .* white=4095"):
        black = evaluate(methods, [tmp_path / "12" / "a.png"], 4, **how)["psnr_y"]
    assert black[0] > right + 10
    found = evaluate(methods, [tmp_path / "12" / "a.png"], 4, white=4095, **how)["psnr_y"]
    assert found[0] == pytest.approx(right, abs=0.1)
    assert found[1] == np.inf
    with pytest.raises(SrkitError, match="a white level of '4095' is none"):
        evaluate(methods, [tmp_path / "12" / "a.png"], 4, white="4095")


def test_one_path_is_no_list_of_pictures(tmp_path):
    with pytest.raises(SrkitError, match="is one path, and images are a list"):
        evaluate({"bicubic": "bicubic"}, str(tmp_path), 4)


def test_another_degradation_makes_other_rows_and_the_same_ones_each_time(some, tmp_path):
    methods, file = {"it": Recorder(4), "bicubic": "bicubic"}, tmp_path / "out.csv"
    plain = evaluate(methods, some, 4, csv=file)
    wild = evaluate(methods, some, 4, csv=file, degradation=WILD)
    assert len(pd.read_csv(file)) == 12
    assert (wild["psnr_y"] < plain["psnr_y"]).all()
    assert set(wild["degradation"]) == {repr(WILD)}
    assert summary(pd.concat([plain, wild]))["degradation"].nunique() == 2
    assert "degradation" not in summary(plain)
    backwards = evaluate(methods, some[::-1], 4, degradation=WILD).sort_values(["image", "method"], ignore_index=True)
    wild = wild.sort_values(["image", "method"], ignore_index=True)
    pd.testing.assert_series_equal(backwards["psnr_y"], wild["psnr_y"])
    # With LR from anything but the papers' bicubic, the method enlarges the very LR that the networks get.
    hr = crop_to_multiple(read_image(some[0]), 4)
    expected = psnr_y(enlarge(lr_of(hr, 4, WILD), 4), hr, 4)
    assert wild.set_index(["image", "method"])["psnr_y"]["0.png", "bicubic"] == expected
    with pytest.raises(SrkitError, match="LR is given with these pictures"):
        evaluate(methods, some, 4, degradation=WILD, given={some[0]: some[1]})


def test_large_pictures_go_through_tiles_with_the_same_answer(monkeypatch, hr):
    network = load("srresnet_light", 4)
    lr, asked = lr_of(hr, 4), []
    whole = super_resolve(network, lr)

    def tiles(*given, **how):
        asked.append(given)
        return enlarge_in_tiles(*given, **how, tile=24, block=48)

    monkeypatch.setattr("srkit.scoring.enlarge_in_tiles", tiles)
    monkeypatch.setattr("srkit.scoring.WHOLE", 1000)
    assert np.abs(super_resolve(network, lr).astype(int) - whole).max() <= 1
    assert len(asked) == 1
    network.register_forward_hook(lambda module, lr, sr: 1 - sr)
    assert np.abs(255 - super_resolve(network, lr).astype(int) - whole).max() <= 1
    every = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3))
    every.scale = 1
    assert super_resolve(every, lr).shape == lr.shape  # looks at the whole picture, and so gets it


@pytest.mark.parametrize(
    ("shape", "scale", "tiled"),
    [((500, 1000), 2, False), ((250, 501), 4, True), ((3, 666_667), 1, True), ((3, 666_667), None, False)],
)
def test_a_picture_of_more_than_two_million_sr_pixels_is_large(shape, scale, tiled, monkeypatch):
    monkeypatch.setattr("srkit.scoring.enlarge_in_tiles", lambda *_, **__: "in tiles")
    network = Recorder(scale or 1)
    network.scale = scale  # where the network does not say it, its answer is as large as it likes
    monkeypatch.setattr(network, "forward", lambda lr: lr)
    assert isinstance(super_resolve(network, np.zeros((*shape, 3), np.uint8)), str) == tiled


@pytest.mark.parametrize("around", ["hook", "pre-hook", "mask"])
def test_what_stands_around_a_network_counts_in_tiles_too(around, monkeypatch, hr):
    torch.manual_seed(0)
    network, lr = SRResNet(2, channels=4, blocks=1, skip=True).eval(), hr[:40, :50]
    if around == "hook":
        network.register_forward_hook(lambda module, given, sr: 1 - sr)
    elif around == "pre-hook":
        network.register_forward_pre_hook(lambda module, given: (1 - given[0],))
    else:
        network = Sharpened(network, 2.0)
    whole = super_resolve(network, lr)
    monkeypatch.setattr("srkit.scoring.WHOLE", 0)
    assert np.abs(super_resolve(network, lr).astype(int) - whole).max() <= 1


def test_one_pictures_scores_are_those_of_the_metrics_and_grey_ones_have_all(hr):
    began = time.perf_counter()
    sr, found = judged("nearest", hr[:64, :96], 4, lpips=lambda *_: 0.5)
    assert 0 < found["seconds"] < time.perf_counter() - began
    assert found["lpips_squeeze"] == lpips_judge(network="squeeze")(sr, hr[:64, :96], 4)
    grey = scores(sr[..., 1], hr[:64, :96, 1], 4)
    assert grey["psnr_rgb"] == pytest.approx(grey["psnr_y"])


def test_an_answer_of_another_size_is_refused_with_it(hr):
    with pytest.raises(SrkitError, match="the network's answer is 40 x 16, not x4"):
        judged(Recorder(2), hr[:32, :80], 4)


def test_a_flat_picture_is_flat_after_the_papers_bicubic():
    for level in (0, 200, 255):
        assert (bicubic(np.full((24, 36), level, np.uint8), 4) == level).all()


def test_a_table_of_an_older_srkit_goes_on(some, tmp_path):
    file = tmp_path / "out.csv"
    old = ["method", "set", "scale", "image", "width", "height", "psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "lpips"]
    old += ["psnr_normalised", "mos_estimate", "seconds", "key"]
    line = dict.fromkeys(old, 1.5) | {"scale": 4, "width": 48, "height": 48, "set": "hr", "key": "0123456789ab"}
    kept = {"method": "NA", "image": "0.png"}  # a name that pandas would take for a gap
    pd.DataFrame([line | kept, line | {"method": "bicubic", "image": "0.png"}])[old].to_csv(file, index=False)
    table = evaluate({"bicubic": "bicubic"}, some, 4, csv=file)
    assert (table["psnr_y"] > 20).all()
    found = pd.read_csv(file, keep_default_na=False)
    assert found["method"].tolist() == ["NA", *["bicubic"] * 3]
    assert found["grid"][0] == ""
    assert found["psnr_y"].tolist() == pytest.approx([1.5, *table["psnr_y"]], abs=1e-5)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00 no text", b"one line", b'method,"set\n', b"method,set\n1,2,3\n", b"a,b\n1,2\n"]
)
def test_what_is_no_table_is_refused_and_stays(some, tmp_path, content):
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(SrkitError, match="mine.csv is no table of srkit evaluate"):
        evaluate({"bicubic": "bicubic"}, some, 4, csv=tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_bytes() == content
    with pytest.raises(SrkitError, match="is no table of srkit evaluate"):
        evaluate({"bicubic": "bicubic"}, some, 4, csv=tmp_path)


def test_ready_made_pictures_score_as_the_method_that_made_them(some, tmp_path):
    made = evaluate({"it": Recorder(4)}, some, 4, save=tmp_path / "sr")
    (tmp_path / "sr" / "it" / "hr" / "1.png").rename(tmp_path / "sr" / "it" / "hr" / "1_x4_SR.png")
    read = evaluate({"theirs": tmp_path / "sr" / "it"}, some, 4)
    columns = ["image", "psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"]
    pd.testing.assert_frame_equal(made[columns], read[columns])
    assert read["seconds"].isna().all()


def test_what_is_missing_or_of_another_size_is_named_and_the_rest_kept(some, tmp_path, hr):
    evaluate({"it": Recorder(4)}, some, 4, save=tmp_path / "sr")
    (tmp_path / "sr" / "it" / "hr" / "0.png").unlink()
    write_image(tmp_path / "sr" / "it" / "hr" / "1.png", hr[:40, :40])
    (tmp_path / "hr" / "words.png").write_text("words")
    write_image(tmp_path / "hr" / "tiny.png", hr[:18, :64])
    problems = []
    methods = {"theirs": tmp_path / "sr" / "it", "bicubic": "bicubic"}
    table = evaluate(methods, find_pictures(tmp_path / "hr"), 4, problems=problems, csv=tmp_path / "out.csv")
    assert table[["image", "method"]].to_numpy().tolist() == [
        ["0.png", "bicubic"],
        ["1.png", "bicubic"],
        ["2.png", "theirs"],
        ["2.png", "bicubic"],
    ]
    assert len(pd.read_csv(tmp_path / "out.csv")) == 4
    said = " ".join(problems)
    for words in (
        "no picture for 0.png",
        "1.png is 40 x 40, and 1.png at x4 52 x 52",
        "tiny.png, 64 x 16",
        "words.png",
    ):
        assert words in said
    with pytest.warns(UserWarning, match="left out: .*words.png"):
        evaluate({"bicubic": "bicubic"}, [some[0], tmp_path / "hr" / "words.png"], 4)


def test_a_scale_that_is_not_the_networks_is_refused(some):
    with pytest.raises(SrkitError, match="it: Recorder enlarges 2-fold, not 4-fold"):
        evaluate({"it": Recorder(2)}, some, 4)
    with pytest.raises(SrkitError, match="bicubic: scale 0 does not do: give a whole number from 1"):
        evaluate({"bicubic": "bicubic"}, some, 0)


def test_luma_alone_has_no_colour_scores(some, tmp_path):
    for path in some:
        write_image(tmp_path / "y" / path.name, bicubic(crop_to_multiple(read_image(path), 4), 4))
    table = evaluate({"theirs": tmp_path / "y", "bicubic": "bicubic"}, some, 4, lpips=lambda *_: 0.5)
    parts = dict(list(table.groupby("method")))
    np.testing.assert_allclose(parts["theirs"]["psnr_y"], parts["bicubic"]["psnr_y"])
    assert parts["theirs"][["psnr_rgb", "ssim_rgb", "lpips"]].isna().all(axis=None)
    assert (parts["bicubic"]["lpips"] == 0.5).all()


def test_costs_are_counted_for_one_720p_picture():
    network = nn.Conv2d(3, 5, 3, padding=1)
    table = costs({"bicubic": "bicubic", "it": network}, 4).set_index("method")
    assert table.loc["it", "parameters"] == 3 * 5 * 9 + 5
    assert table.loc["it", "multiply_adds_g"] == pytest.approx(3 * 5 * 9 * 320 * 180 / 1e9)
    assert np.isnan(table.loc["bicubic", "parameters"])


def test_the_command_scores_streams_and_says_what_it_left_out(some, tmp_path, capsys):
    words = ["evaluate", "bicubic", "--images", str(tmp_path / "hr"), "--scale", "4", "--no-lpips"]
    out = [str(tmp_path / name) for name in ("out.csv", "sr", "t.tex")]
    assert main([*words, "--csv", out[0], "--save", out[1], "--table", out[2]]) == 0
    said = capsys.readouterr().out
    assert "bicubic" in said
    assert "BT.601" in said
    assert pd.read_csv(out[0])[["lpips", "lpips_squeeze"]].isna().all(axis=None)
    assert "toprule" in (tmp_path / "t.tex").read_text()
    for more in (["--table", "t.docx"], ["--gallery", str(tmp_path / "gallery")]):  # refused before anything is scored
        assert main([*words, *more, "--csv", str(tmp_path / "other.csv")]) == 1
    said = capsys.readouterr().err
    assert "t.docx is neither .tex nor .md" in said
    assert "a gallery compares two or more" in said
    assert not (tmp_path / "other.csv").exists()
    (tmp_path / "hr" / "words.png").write_text("words")
    assert main(["evaluate", out[1] + "/bicubic", *words[1:]]) == 1
    heard = capsys.readouterr()
    assert "sr-bicubic" in heard.out
    assert "words.png" in heard.err
    assert main(["evaluate", "bicubic", "--images", str(tmp_path / "none"), "--scale", "4"]) == 1
    assert "none is no folder and no named set" in capsys.readouterr().err


def test_folders_and_runs_of_one_name_are_all_scored_and_a_word_said_twice_once(hr, tmp_path, capsys):
    write_image(tmp_path / "hr" / "a.png", hr[:48, :48])
    where = [str(tmp_path / name / "x" / "sr") for name in "abc"]
    for number, folder in enumerate(where):
        write_image(Path(folder) / "a.png", hr[number : number + 48, :48])
    command = ["evaluate", "bicubic", *where, "bicubic", "--images", str(tmp_path / "hr"), "--scale", "4", "--no-lpips"]
    assert main([*command, "--csv", str(tmp_path / "s.csv")]) == 0
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["method"].tolist() == ["bicubic", "sr", "x-sr", "c-x-sr"]
    assert table["psnr_y"].nunique() == 4


def test_what_lies_in_save_is_the_sr_that_the_table_scores(some, tmp_path):
    """Of another scale or network of that name, it is made anew, though the scores are known."""
    how = {"save": tmp_path / "sr", "lpips": False}
    for bright in (0.0, 0.3, 0.0):
        table = evaluate({"it": Recorder(4, bright)}, some, 4, csv=tmp_path / f"{bright}.csv", **how)
        saved = evaluate({"ready": tmp_path / "sr" / "it"}, some, 4, lpips=False)
        np.testing.assert_allclose(saved["psnr_rgb"], table["psnr_rgb"], atol=1e-5)
    first, network = tmp_path / "sr" / "it" / "hr" / "0.png", Recorder(4)
    whole = first.read_bytes()
    first.write_bytes(whole[:-300])
    evaluate({"it": network}, some, 4, csv=tmp_path / "0.0.csv", **how)
    assert first.read_bytes() == whole
    assert len(network.seen) == 1  # the others were kept

"""Each score against a closed form, a published table or another library."""

import socket
from zlib import crc32

import numpy as np
import pytest
import torch
from skimage.data import chelsea
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from srkit.evaluation import enlarge, lr_of
from srkit.features import _lpips, lpips_network
from srkit.files import SrkitError
from srkit.images import crop_to_multiple, luma, read_image
from srkit.metrics import (
    TAKEN_FOR_COLOURED,
    estimated_mos,
    grid,
    lpips_judge,
    lumas,
    normalised_psnr,
    psnr_rgb,
    psnr_y,
    ssim_rgb,
    ssim_y,
    without_colours,
)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    hr = chelsea()[:120, :160]
    return np.roll(hr, 1, axis=0), hr


@pytest.mark.parametrize("shave", [0, 3])
def test_rgb_scores_are_those_of_scikit_image(pair, shave):
    cut = slice(shave, -shave or None)
    sr, hr = (x[cut, cut] for x in pair)
    assert psnr_rgb(*pair, shave) == pytest.approx(peak_signal_noise_ratio(hr, sr, data_range=255))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    theirs = structural_similarity(sr.astype(float), hr.astype(float), channel_axis=2, **options)
    assert ssim_rgb(*pair, shave) == pytest.approx(theirs, abs=1e-9)


def test_the_smallest_picture_that_ssims_window_fits_into_has_a_score(pair):
    sr, hr = (x[:11, :11] for x in pair)
    assert 0 < ssim_rgb(sr, hr, 0) < 1
    with pytest.raises(SrkitError, match="smaller than SSIM's window of 11"):
        ssim_rgb(sr, hr, 1)


def test_a_grey_picture_scores_as_three_equal_channels(pair):
    grey, other = (x[..., 1] for x in pair)
    assert psnr_rgb(grey, other, 2) == pytest.approx(psnr_y(grey, other, 2))
    assert ssim_rgb(grey, other, 2) == pytest.approx(ssim_y(grey, other, 2))


def test_grid_finds_a_raster_and_no_noise(pair):
    hr = pair[1].astype(int)
    random = np.random.default_rng(0)
    rows, columns = np.indices(hr.shape[:2])
    for raster in (rows % 2, columns // 2 % 2, (rows + columns) % 2):
        assert grid((hr + 4 * raster[..., None] - 2).astype(np.uint8), hr.astype(np.uint8)) == pytest.approx(2)
    noise = random.choice([-2, 2], hr.shape[:2])[..., None]
    assert grid((hr + noise).astype(np.uint8), hr.astype(np.uint8)) < 0.2
    assert grid((hr + 5).astype(np.uint8), hr.astype(np.uint8)) == 0
    assert grid((hr + np.linspace(-20, 20, 160)[:, None]).astype(np.uint8), hr.astype(np.uint8)) < 0.5  # a slow change


@pytest.mark.parametrize("shape", [(96, 96), (100, 250), (203, 230), (40, 130), (7, 9)])
def test_grid_is_what_loops_over_windows_and_places_give(shape):
    random = np.random.default_rng(1)
    sr, hr = random.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    height, width = (min(96, side // 4 * 4) for side in shape)
    squares, error = [], (sr.astype(float) - hr).mean(2)
    for top in range(0, shape[0] - height + 1, height):
        for left in range(0, shape[1] - width + 1, width):
            window = error[top : top + height, left : left + width]
            squares += [(window[r::4, c::4].mean() - window.mean()) ** 2 for r in range(4) for c in range(4)]
    assert grid(sr, hr) == pytest.approx(np.mean(squares) ** 0.5)


def test_grid_of_bicubic_on_set5_and_set14(shared):
    """0.65 grey levels: what its faint raster of steps at LR pixels is worth."""
    folders = (shared / "benchmarks" / name for name in ("Set5", "Set14"))
    truths = [crop_to_multiple(read_image(path), 4) for folder in folders for path in folder.iterdir()]
    assert np.mean([grid(enlarge(lr_of(hr, 4), 4), hr) for hr in truths]) == pytest.approx(0.65, abs=0.005)


def test_grid_of_less_than_one_period_is_not_a_number_and_of_two_sizes_there_is_none(pair):
    assert np.isnan(grid(*np.zeros((2, 3, 50, 3), np.uint8)))
    with pytest.raises(SrkitError, match="SR is 1 x 120 and HR is 160 x 120: they must be of one size"):
        grid(pair[0][:, :1], pair[1])


@pytest.mark.parametrize(("psnr", "share"), [(25, 0.5), (50, 1), (float("inf"), 1), (-3, 0)])
def test_normalised_psnr(psnr, share):
    assert normalised_psnr(psnr) == share


def test_the_estimated_mos_rounds_to_evalvids_grades():
    """Klaue et al. 2003: above 37 dB 5, from 31 to 37 4, from 25 to 31 3, from 20 to 25 2, below 20 1."""
    for psnr in np.arange(5.05, 60, 0.1):
        assert round(estimated_mos(psnr)) == 1 + sum(psnr > border for border in (20, 25, 31, 37))
    estimates = [estimated_mos(psnr) for psnr in range(60)]
    assert estimates == sorted(estimates)
    assert (estimates[0], estimates[-1], estimated_mos(float("inf"))) == (1, 5, 5)


def test_the_outer_lines_of_the_estimated_mos_go_on_as_their_neighbours_until_the_last_grade():
    """From 25 dB down to 20, a fifth of a grade each dB; from 31 up to 37, a sixth."""
    assert estimated_mos(20 - 0.5 * 5) == 1 < estimated_mos(17.6)
    assert estimated_mos(37 + 0.5 * 6) == 5 > estimated_mos(39.9)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_picture_with_one_pixel_of_colour_has_colours(pair, odd):
    picture = np.repeat(pair[0][..., :1], 3, axis=2)
    assert without_colours(picture).ndim == 2
    picture[5, 7, odd] ^= 1
    assert without_colours(picture) is picture


GREY = {"Set14/man": 0x0DF0D3FC, "Urban100/img_011": 0x515FE36A, "Urban100/img_028": 0x3BDC3C29}
GREY |= {"Urban100/img_036": 0x7950AD43, "Urban100/img_042": 0x9F14579A, "Urban100/img_045": 0xE2EC8DAC}
GREY |= {"Urban100/img_072": 0xE5D7B6A0, "Urban100/img_095": 0x5A2EE907}  # CRC-32 of the corners of these files


@pytest.mark.parametrize("name", GREY)
def test_the_grey_pictures_that_the_papers_took_for_coloured_are_so_here(shared, name):
    (path,) = (shared / "benchmarks").glob(f"{name}.*")
    grey = read_image(path)[..., 0]
    assert crc32(grey[:32, :32].tobytes()) == GREY[name]
    assert lumas(grey, grey)[1].min() >= 16


def test_a_grey_picture_is_taken_for_coloured_by_its_first_32_by_32_pixels_alone(monkeypatch):
    assert {*GREY.values()} == TAKEN_FOR_COLOURED
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    monkeypatch.setattr("srkit.metrics.TAKEN_FOR_COLOURED", {crc32(grey[:32, :32].copy())})
    for row, column, known in ((31, 31, False), (32, 31, True), (31, 32, True)):
        other = grey.copy()
        other[row, column] ^= 255
        assert np.array_equal(lumas(other, other)[1], luma(np.stack([other] * 3, 2)) if known else other)


def test_lpips_looks_at_the_shaved_picture_from_minus_one_to_one_where_32_pixels_are_left(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # with nothing in it
    judge = lpips_judge(network="squeeze", download=False)
    sr, hr = (x[:42, :60] for x in pair)
    a, b = (torch.from_numpy(x[5:-5, 5:-5] / 127.5 - 1).permute(2, 0, 1)[None].float() for x in (sr, hr))
    with torch.no_grad():
        assert judge(sr, hr, 5) == pytest.approx(float(lpips_network("squeeze")(a, b)), abs=1e-6)
    assert np.isnan(judge(sr[1:], hr[1:], 5))
    assert np.isnan(judge(sr[:, :41], hr[:, :41], 5))


def test_lpips_is_that_of_torchmetrics(pair, imagenet):
    _lpips.cache_clear()
    judge = lpips_judge()
    theirs = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
    a, b = (torch.from_numpy(x[4:-4, 4:-4] / 255.0).permute(2, 0, 1)[None].float() for x in pair)
    assert judge(*pair, 4) == pytest.approx(float(theirs(a, b)), abs=1e-6)
    assert judge(pair[1], pair[1], 4) == 0
    assert np.isnan(judge(pair[0][:30], pair[1][:30], 0))


def test_lpips_squeeze_needs_no_download_and_is_that_of_torchmetrics(shared, imagenet_home, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # with nothing in it
    _lpips.cache_clear()
    judge = lpips_judge(network="squeeze", download=False)
    monkeypatch.setenv("TORCH_HOME", str(imagenet_home))
    theirs = LearnedPerceptualImagePatchSimilarity("squeeze", normalize=True)
    for path in sorted((shared / "benchmarks" / "Set5").iterdir()):
        hr = crop_to_multiple(read_image(path), 4)
        sr = enlarge(lr_of(hr, 4), 4)
        a, b = (torch.from_numpy(x[4:-4, 4:-4] / 255.0).permute(2, 0, 1)[None].float() for x in (sr, hr))
        with torch.no_grad():
            assert judge(sr, hr, 4) == pytest.approx(float(theirs(a, b)), abs=1e-3)


def test_a_download_that_never_answers_has_an_end(tmp_path, monkeypatch, capsys):
    """As of a server that takes the connection and then says nothing."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("srkit.features.TIME_LIMIT", 0.2)
    _lpips.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/alexnet-owt-7be5be79.pth"
        monkeypatch.setattr(AlexNet_Weights.IMAGENET1K_V1.value, "url", address)
        assert lpips_judge() is None
    said = capsys.readouterr().out
    assert "LPIPS is left out" in said
    assert "nothing is downloaded" not in said
    assert socket.getdefaulttimeout() is None


def test_without_weights_lpips_says_so_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips_judge(download=False) is None
    said = capsys.readouterr().out
    assert said.count("LPIPS is left out") == 1
    assert "TORCH_HOME, and nothing is downloaded" in said

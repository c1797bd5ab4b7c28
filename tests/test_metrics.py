"""Each score against a closed form, a published table or another library."""

import socket

import numpy as np
import pytest
import torch
from skimage.data import chelsea
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
from torchvision.models import AlexNet_Weights

from srkit.evaluation import enlarge, lr_of
from srkit.features import _lpips
from srkit.images import crop_to_multiple, read_image
from srkit.metrics import estimated_mos, grid, lpips_judge, normalised_psnr, psnr_rgb, psnr_y, ssim_rgb, ssim_y


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


def test_grid_of_less_than_one_period_is_not_a_number():
    assert np.isnan(grid(*np.zeros((2, 3, 50, 3), np.uint8)))


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
    assert "LPIPS is left out" in capsys.readouterr().out
    assert socket.getdefaulttimeout() is None


def test_without_weights_lpips_says_so_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips_judge(download=False) is None
    said = capsys.readouterr().out
    assert said.count("LPIPS is left out") == 1
    assert "TORCH_HOME" in said

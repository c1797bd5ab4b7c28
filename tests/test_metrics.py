"""Each score against a closed form, a published table or another library."""

import numpy as np
import pytest
import torch
from skimage.data import chelsea
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from srkit.features import lpips_network
from srkit.metrics import estimated_mos, lpips_judge, normalised_psnr, psnr_rgb, psnr_y, ssim_rgb, ssim_y


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
    lpips_network.cache_clear()
    judge = lpips_judge()
    theirs = LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
    a, b = (torch.from_numpy(x[4:-4, 4:-4] / 255.0).permute(2, 0, 1)[None].float() for x in pair)
    assert judge(*pair, 4) == pytest.approx(float(theirs(a, b)), abs=1e-6)
    assert judge(pair[1], pair[1], 4) == 0
    assert np.isnan(judge(pair[0][:30], pair[1][:30], 0))


def test_without_weights_lpips_says_so_and_stops_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lpips_judge(download=False) is None
    said = capsys.readouterr().out
    assert said.count("LPIPS is left out") == 1
    assert "TORCH_HOME" in said

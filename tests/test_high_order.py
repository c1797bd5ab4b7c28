import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import ndimage, special

from srkit import high_order
from srkit.degradations import Bicubic, HighOrder
from srkit.kernels import gaussian_kernel, plateau_kernel, sinc_kernel
from srkit.noise import photons


def test_generalised_and_plateau_kernels_fall_off_as_their_formulas_say():
    for beta in (0.5, 1.0, 3.0):
        bell, flat = gaussian_kernel(2.0, 2.0, 0.3, 21, beta), plateau_kernel(2.0, 2.0, 0.3, 21, beta)
        assert (bell.shape, flat.shape) == ((21, 21), (21, 21))
        assert [float(kernel.sum()) for kernel in (bell, flat)] == pytest.approx([1, 1], abs=1e-5)
        for d in (1, 3):  # pixels from the middle, and so d / 2 sigmas
            assert float(bell[10, 10 + d] / bell[10, 10]) == pytest.approx(math.exp(-((d / 2) ** (2 * beta)) / 2), 1e-3)
            assert float(flat[10 + d, 10] / flat[10, 10]) == pytest.approx(1 / (1 + (d / 2) ** (2 * beta)), 1e-3)
    assert plateau_kernel(0.0, 0.0, 1.0, 7, 2.0)[3, 3] == gaussian_kernel(0.0, 0.0, 1.0, 7, 0.5)[3, 3] == 1


def test_the_sinc_passes_low_frequencies_rings_and_is_the_formula_of_the_paper():
    cutoff, size = 1.5, 21
    y, x = np.mgrid[-10:11, -10:11]
    r = np.hypot(x, y)
    r[10, 10] = 1e-9  # J1(z) is z / 2 there
    expected = cutoff * special.j1(cutoff * r) / (2 * np.pi * r)
    kernel = sinc_kernel(cutoff, size)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-6)
    passed = np.abs(np.fft.fft2(kernel, (64, 64)))
    waves = np.hypot(*np.meshgrid(*[2 * np.pi * np.fft.fftfreq(64)] * 2))
    assert abs(passed[waves < 1.0].mean() - 1) < 0.1
    assert passed[waves > 2.2].mean() < 0.05
    assert kernel.min() < 0, "it rings"


def test_photons_have_a_variance_of_the_level_over_the_number_of_levels_times_the_scale_squared():
    ramp = torch.arange(200.0).repeat(200, 1)[None, None].expand(1, 3, -1, -1) / 255  # 200 levels: counts to 256
    noisy = photons(ramp, 0.8, False, torch.Generator().manual_seed(1))
    noise = (noisy - ramp)[..., 100:120]
    assert float(noise.mean()) == pytest.approx(0, abs=2e-3)
    assert float(noise.var()) == pytest.approx(0.64 * 109.5 / 255 / 256, rel=0.05)
    grey = photons(ramp, 0.8, True, torch.Generator().manual_seed(1)) - ramp
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


@pytest.fixture(scope="module")
def drawn():
    """What 400 chains drew: the arguments of each step."""
    calls, patch = [], pytest.MonkeyPatch()
    for name in ("gaussian_kernel", "plateau_kernel", "sinc_kernel", "gaussian", "photons", "jpeg"):
        real = getattr(high_order, name)
        patch.setattr(high_order, name, lambda *a, name=name, real=real: calls.append((name, a)) or real(*a))
    chains = []
    for seed in range(400):
        calls.clear()
        HighOrder()(torch.full((1, 3, 32, 32), 0.5), 4, seed)
        chains.append(list(calls))
    patch.undo()
    return chains


def test_the_chain_draws_what_the_paper_published(drawn):
    first = [chain[0] for chain in drawn]
    kinds = Counter(name for name, _ in first)
    sinc, plateau = kinds["sinc_kernel"] / 400, kinds["plateau_kernel"] / 400
    assert (sinc, plateau) == (pytest.approx(0.1, abs=0.04), pytest.approx(0.9 * 0.15, abs=0.05))
    bells = [arguments for name, arguments in first if name == "gaussian_kernel"]
    assert np.mean([beta == 1 for *_, beta in bells]) == pytest.approx(0.7 / 0.85, abs=0.06)
    assert np.mean([along == across for along, across, *_ in bells]) == pytest.approx(0.57 / 0.85, abs=0.07)
    sigmas = [along for along, *_ in bells]
    assert (min(sigmas), max(sigmas)) == (pytest.approx(0.2, abs=0.1), pytest.approx(3, abs=0.1))
    assert {size for *_, size, _ in bells} == set(range(7, 22, 2))
    cutoffs = [a for name, a in first if name == "sinc_kernel"]
    assert all(math.pi / (3 if size < 13 else 5) <= cutoff <= math.pi for cutoff, size in cutoffs)

    for place, (sigma, scale) in enumerate([(30, 3), (25, 2.5)]):
        noises = [[call for call in chain if call[0] in ("gaussian", "photons")][place] for chain in drawn]
        assert np.mean([name == "gaussian" for name, _ in noises]) == pytest.approx(0.5, abs=0.07)
        assert np.mean([a[2] for _, a in noises]) == pytest.approx(0.4, abs=0.07)
        for kind, least, most in (("gaussian", 1, sigma), ("photons", 0.05, scale)):
            amounts = [a[1] for name, a in noises if name == kind]
            assert least <= min(amounts) < least + 0.05 * most
            assert 0.95 * most < max(amounts) <= most

    qualities = [a[1] for chain in drawn for name, a in chain if name == "jpeg"]
    assert len(qualities) == 800
    assert (min(qualities), max(qualities)) == (30, 95)
    assert np.mean([chain[-1][0] == "jpeg" for chain in drawn]) == pytest.approx(0.5 + 0.5 * 0.2, abs=0.07)
    kernels = [sum("kernel" in name for name, _ in chain) for chain in drawn]
    assert np.mean(kernels) == pytest.approx(1 + 0.8 + 0.8, abs=0.1)


def test_intermediate_sizes_go_up_down_or_stay_as_published(monkeypatch):
    sizes, real = [], high_order.F.interpolate
    monkeypatch.setattr(
        high_order.F, "interpolate", lambda x, size, **how: sizes.append((size[0], how["mode"])) or real(x, size, **how)
    )
    for seed in range(300):
        HighOrder()(torch.full((1, 3, 100, 100), 0.5), 4, seed)
    first, second, last = (np.array([size for size, _ in sizes[place::3]]) for place in range(3))
    assert (first.min(), first.max()) == (pytest.approx(15, abs=2), pytest.approx(149, abs=3))
    assert np.mean(first > 100) == pytest.approx(0.2, abs=0.06)
    assert np.mean(first == 100) == pytest.approx(0.1, abs=0.05)
    assert (second.min(), second.max()) == (pytest.approx(7, abs=1), pytest.approx(29, abs=1))  # of LR's 25
    assert set(last) == {25}
    assert Counter(mode for _, mode in sizes).keys() == {"area", "bilinear", "bicubic"}


def test_a_picture_in_a_batch_has_a_chain_of_its_own_and_the_first_is_as_it_is_alone():
    hr = torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1, 1)
    lr = HighOrder()(hr, 4, 5)
    assert torch.equal(lr[:1], HighOrder()(hr[:1], 4, 5))
    assert len({tuple(picture.flatten().tolist()) for picture in lr}) == 3
    assert not torch.equal(HighOrder()(hr, 4, 6), lr)


def test_a_little_strength_is_nearly_bicubic_and_more_is_further_away():
    grey = ndimage.gaussian_filter(np.random.default_rng(0).random((64, 64)), 4)  # JPEG halves colours at any quality
    hr = torch.from_numpy((grey - grey.min()) / np.ptp(grey)).float().expand(30, 3, -1, -1)
    clean = Bicubic()(hr, 4)
    errors = [float((HighOrder(strength)(hr, 4, 1) - clean).square().mean().sqrt()) for strength in (0, 0.05, 0.3, 1)]
    assert errors[0] == 0
    assert errors[1] < 0.03 < errors[3]
    assert errors == sorted(errors)


def test_crisp_is_the_published_unsharp_mask_and_leaves_flat_places_alone():
    hr = torch.full((1, 3, 96, 160), 0.4)
    hr[..., 40:] = 0.6
    hr[..., 43:] = 0.4
    line = np.exp(-((np.arange(51) - 25.0) ** 2) / 128)
    line /= line.sum()
    smooth = lambda x: ndimage.correlate1d(ndimage.correlate1d(x, line, 0, mode="nearest"), line, 1, mode="nearest")  # noqa: E731
    x = hr[0, 0].double().numpy()
    detail = x - smooth(x)
    mask = smooth((np.abs(detail) * 255 > 10).astype(float))
    expected = mask * np.clip(x + 0.5 * detail, 0, 1) + (1 - mask) * x
    ours = high_order.crisp(hr)
    np.testing.assert_allclose(ours[0, 2], expected, atol=1e-5)
    assert ours[0, 0, 50, 41] > 0.6
    torch.testing.assert_close(ours[..., 130:], hr[..., 130:])

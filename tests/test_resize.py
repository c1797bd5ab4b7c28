"""imresize against MATLAB's algorithm written out as two loops, and against what any cubic resize must do."""

import math

import numpy as np
import pytest
import torch

from srkit.files import SrkitError
from srkit.resize import imresize

SIZES = [(1, 1), (1, 4), (3, 5), (7, 2)]  # LR height and width: shorter than the kernel, odd, thin


def cubic(x: float) -> float:
    """Keys 1981 with a = -0.5."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resize_line(line: np.ndarray, scale: float, length: int) -> np.ndarray:
    """MATLAB's imresize in one direction: contributions of each input sample, kernel stretched when shrinking."""
    stretch = min(scale, 1.0)
    result = np.zeros(length)
    for out in range(length):
        centre = (out + 0.5) / scale - 0.5
        reach = 2 / stretch
        total = 0.0
        for place in range(math.floor(centre - reach) - 1, math.ceil(centre + reach) + 2):
            weight = stretch * cubic(stretch * (centre - place))
            inside = place % (2 * len(line))  # 0 1 2 | 2 1 0 | 0 1 2 ...
            result[out] += weight * line[min(inside, 2 * len(line) - 1 - inside)]
            total += weight
        result[out] /= total
    return result


def twin(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = (round(side * scale) for side in image.shape)
    rows = np.stack([resize_line(column, scale, height) for column in image.T], axis=1)
    return np.stack([resize_line(row, scale, width) for row in rows])


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_enlarges_as_matlab(factor, size):
    image = np.random.default_rng(factor).random(size)
    ours = imresize(torch.from_numpy(image)[None, None], factor)
    assert ours.shape == (1, 1, size[0] * factor, size[1] * factor)
    np.testing.assert_allclose(ours[0, 0].numpy(), twin(image, factor), atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_shrinks_as_matlab(factor, size):
    image = np.random.default_rng(factor).random((size[0] * factor, size[1] * factor))
    ours = imresize(torch.from_numpy(image)[None, None], 1 / factor)
    assert ours.shape == (1, 1, *size)
    np.testing.assert_allclose(ours[0, 0].numpy(), twin(image, 1 / factor), atol=1e-12)


def test_float32_agrees_to_a_thousandth_of_a_grey_level():
    image = np.random.default_rng(0).random((24, 36))
    for scale in (3, 1 / 4):
        ours = imresize(torch.from_numpy(image).float()[None, None], scale)
        assert np.abs(ours[0, 0].numpy() - twin(image, scale)).max() * 255 < 1e-3


@pytest.mark.parametrize("scale", [2, 3, 8, 1 / 2, 1 / 3, 1 / 8])
def test_a_flat_picture_stays_flat(scale):
    flat = torch.full((2, 3, 24, 48), 0.3, dtype=torch.float64)
    torch.testing.assert_close(imresize(flat, scale), torch.full_like(imresize(flat, scale), 0.3))


def test_pictures_and_channels_do_not_mix():
    x = torch.rand(2, 3, 6, 8, dtype=torch.float64)
    each = torch.stack([torch.stack([imresize(c[None, None], 2)[0, 0] for c in image]) for image in x])
    torch.testing.assert_close(imresize(x, 2), each)


def test_overshoot_is_kept():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    assert imresize(edge, 4).max() > 1.01
    assert imresize(edge, 4).min() < -0.01


def test_lets_gradients_through():
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: imresize(x, 2), x)


@pytest.mark.parametrize("scale", [1.5, 0.3])
def test_refuses_a_broken_factor(scale):
    with pytest.raises(SrkitError, match="neither a whole number"):
        imresize(torch.zeros(1, 1, 12, 12), scale)


def test_refuses_to_shrink_what_is_no_multiple():
    with pytest.raises(SrkitError, match="13 x 12 is not a multiple of 4: crop it"):
        imresize(torch.zeros(1, 1, 13, 12), 1 / 4)

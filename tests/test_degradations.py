import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from srkit.data.sources import find_photographs
from srkit.dataset import decode
from srkit.degradations import DEGRADATIONS, Bicubic, BlurDown, Camera, HighOrder, Jpeg, Noise, Then, Unknown, degrade
from srkit.degradations import find_degradation as find
from srkit.files import SrkitError
from srkit.images import read_image, to_image, to_tensor
from srkit.kernels import filtered, gaussian_kernel, motion_kernel, shifted
from srkit.noise import poisson, quantise
from srkit.resize import imresize


@pytest.fixture(scope="module")
def hr():
    image = next(iter(decode(find_photographs().valid[:1]).values()))
    return torch.cat([to_tensor(image[40:136, 60:156]), to_tensor(image[100:196, 200:296])])


ALL = [Bicubic(), BlurDown(), Unknown(), Camera(), Camera(each=True), HighOrder()]
ALL += [Then(BlurDown(), Noise(10), Jpeg(40)), Then(Noise(10), Bicubic(), Jpeg(40))]


@pytest.mark.parametrize("degradation", ALL, ids=repr)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_degradation_gives_an_8_bit_picture_of_the_right_size_again_and_again(hr, degradation, scale):
    lr = degradation(hr, scale, 7)
    assert lr.shape == (2, 3, 96 // scale, 96 // scale)
    assert (lr.min() >= 0, lr.max() <= 1) == (True, True)
    torch.testing.assert_close(lr * 255, (lr * 255).round())
    assert torch.equal(degradation(hr, scale, 7), lr)
    assert torch.equal(degradation(hr, scale), degradation(hr, scale, 0))
    assert (lr - imresize(hr, 1 / scale)).abs().mean() < 0.1, "it is not the same scene"


NOTHING = [BlurDown(0), Unknown(0), Camera(strength=0), Camera(True, 0), HighOrder(0)]


@pytest.mark.parametrize("nothing", NOTHING, ids=repr)
def test_a_strength_of_zero_is_exactly_bicubic(hr, nothing):
    assert torch.equal(nothing(hr, 4, 5), Bicubic()(hr, 4))


def test_mild_moves_every_picture_alike_and_wild_each_its_own_way(hr):
    twice = hr[:1].repeat(2, 1, 1, 1)
    quiet = [Camera(each=each)(twice, 4, 3) for each in (False, True)]
    noise = (quiet[0][0] - quiet[0][1]).abs().mean()
    assert 0 < noise < 0.05, "noise is drawn anew"
    assert (quiet[1][0] - quiet[1][1]).abs().mean() > 1.2 * noise
    assert torch.equal(Unknown()(twice, 4, 1)[0], Unknown()(twice, 4, 2)[1]), "unknown is one blur, without noise"


@pytest.mark.parametrize("degradation", [*ALL[:5], Unknown(0), Camera(strength=0), Then(Unknown(), Jpeg(90))], ids=repr)
def test_what_is_directed_is_what_a_turned_picture_shows(hr, degradation):
    def mean_lr(pictures):  # over noise, and over what each picture has of its own
        return sum(degradation(pictures.expand(64, -1, -1, -1), 2, seed).mean(0) for seed in range(2)) / 2

    changes = [(mean_lr(hr[:1].flip(side)) - mean_lr(hr[:1]).flip(side - 1)).abs().mean() for side in (2, 3)]
    assert (float(max(changes)) > 0.012) == getattr(degradation, "directed", False), changes


K = 2 * math.pi / 16  # radians an LR pixel
WAVES = np.array([[1, 0], [0, 1], [1, 1]]) * K  # down, right, and both at once


def response(degradation, scale, monkeypatch, count=1):
    """What is left of three waves, beside what Bicubic leaves, without noise and rounding: complex (count, 3)."""
    monkeypatch.setattr("srkit.degradations.FULL_WELL", 1e9)
    monkeypatch.setattr("srkit.degradations.quantise", lambda x: x)

    def phases(places):  # in LR pixels
        down, right = torch.meshgrid(places, places, indexing="ij")
        return K * torch.stack([down, right, down + right])

    hr = 0.5 + 0.4 * torch.cos(phases((torch.arange(48 * scale) + 0.5) / scale)).expand(count, 3, -1, -1)
    inner, waves = slice(8, 40), torch.exp(-1j * phases(torch.arange(8, 40) + 0.5))
    left = [make(hr, scale, 3)[..., inner, inner] * waves for make in (degradation, Bicubic())]
    return left[0].mean((2, 3)) / left[1].mean((2, 3))


@pytest.mark.parametrize(("scale", "strength"), [(2, 1.0), (4, 1.0), (4, 2.5)])
@pytest.mark.parametrize(
    ("seed", "long", "short", "turn", "shift"),  # in LR pixels and radians
    [(2018, 0.953, 0.310, 2.224, (-0.177, -0.611)), (42, 0.953, 0.483, 1.203, (0.919, -0.219))],
)
def test_the_hidden_blur_and_shift_of_unknown_are_those_that_networks_were_trained_with(
    scale, strength, seed, long, short, turn, shift, monkeypatch
):
    if seed != 2018:
        monkeypatch.setattr("srkit.degradations.HIDDEN_SEED", seed)
    along, across = WAVES @ [math.sin(turn), math.cos(turn)], WAVES @ [math.cos(turn), -math.sin(turn)]
    blur = np.exp(-(strength**2) * ((long * along) ** 2 + (short * across) ** 2) / 2)  # a Gaussian's Fourier transform
    expected = blur * np.exp(-1j * strength * (WAVES @ shift))
    np.testing.assert_allclose(response(Unknown(strength), scale, monkeypatch)[0], expected, atol=0.06 / scale)


@pytest.mark.parametrize(("scale", "strength"), [(2, 1.0), (4, 1.0), (4, 0.5), (4, 5.25)])
def test_the_stroke_and_shift_of_mild_are_those_that_networks_were_trained_with(scale, strength, monkeypatch):
    length, turn, shift = 1.881, 0.158, (0.416, -0.177)  # LR pixels and radians
    half = strength * length / 2 * (WAVES @ [math.sin(turn), math.cos(turn)])
    expected = np.sinc(half / math.pi) * np.exp(-1j * strength * (WAVES @ shift))  # of a uniform stroke
    np.testing.assert_allclose(response(Camera(strength=strength), scale, monkeypatch)[0], expected, atol=0.06 / scale)


def test_wild_draws_length_angle_and_both_shifts_evenly_and_apart_from_each_other(monkeypatch):
    answer = response(Camera(each=True), 2, monkeypatch, 80)
    yy, xx, both = (-2 * answer.abs().log() / K**2).unbind(1)  # the stroke's second moments, and of down + right
    yx, shift = (both - yy - xx) / 2, -answer.angle()[:, :2] / K
    length = (12 * torch.hypot(yy - xx, 2 * yx)).sqrt()
    turn = torch.atan2(2 * yx, xx - yy) / 2 % math.pi
    drawn = torch.stack([length, turn, *shift.unbind(1)])
    ends = torch.tensor([[1, 2], [0, math.pi], [-1, 1], [-1, 1]])
    size = ends[:, 1] - ends[:, 0]
    assert ((drawn.mean(1) - ends.mean(1)).abs() < 0.12 * size).all()
    assert ((drawn.std(1) - size / 12**0.5).abs() < 0.05 * size).all()  # of a uniform distribution
    assert (torch.corrcoef(drawn) - torch.eye(4)).abs().max() < 0.4


def test_the_photons_of_a_camera_are_counted_on_what_its_sensor_can_hold():
    white = torch.ones(1, 3, 64, 64)
    levels = (Camera(strength=10)(white, 2) * 255).unique().tolist()
    assert levels == pytest.approx([0, 64, 128, 191, 255]), "400 / 10**2: white is four photons"
    edge = torch.zeros(1, 3, 64, 64)
    edge[:, :, :, 32:] = 1
    over, sharp = imresize(edge, 1 / 2), Camera(strength=0.02)(edge, 2)
    assert (sharp[over < -0.01] == 0).all()
    assert (sharp[over > 1.01] < 1).any(), "white has noise, also where shrinking overshoots"


def test_a_gaussian_kernels_moments_are_its_sigmas_turned():
    kernel = gaussian_kernel(3.0, 1.5, math.pi / 6)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    reach = kernel.shape[0] // 2
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1.0)] * 2, indexing="ij")
    moments = [float((kernel * part).sum()) for part in (x * x, y * y, x * y)]
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    expected = [9 * c * c + 2.25 * s * s, 9 * s * s + 2.25 * c * c, (9 - 2.25) * s * c]
    assert moments == pytest.approx(expected, rel=0.05)


def test_a_motion_kernel_is_a_stroke_of_its_length_and_angle():
    for length, angle in ((6.0, 0.0), (9.0, math.pi / 2), (8.0, math.pi / 5)):
        kernel = motion_kernel(length, angle)
        middle = kernel.shape[0] // 2
        y, x = torch.meshgrid(*[torch.arange(kernel.shape[0]) - float(middle)] * 2, indexing="ij")
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        assert float((kernel * along).sum()) == pytest.approx(0, abs=1e-3)
        assert float((kernel * along**2).sum()) == pytest.approx(length**2 / 12, abs=0.35)  # of a uniform stroke
        assert float((kernel * across**2).sum()) < 0.35
    point = motion_kernel(0.0, 1.0)
    assert point.max() == 1


def test_filtering_is_each_pictures_own_true_convolution():
    x, tiny, kernels = torch.rand(2, 3, 31, 44), torch.rand(1, 3, 1, 3), torch.rand(2, 21, 21)
    kernels /= kernels.sum((1, 2), keepdim=True)
    for pictures, own in ((x, kernels), (x, kernels[0]), (tiny, kernels[:1])):
        several = own.expand(len(pictures), 21, 21)
        for picture, kernel, answer in zip(pictures, several, filtered(pictures, own), strict=True):
            by_hand = [ndimage.convolve(channel, kernel.numpy(), mode="nearest") for channel in picture.numpy()]
            np.testing.assert_allclose(answer, by_hand, atol=1e-6)


def test_a_shift_by_whole_pixels_moves_down_and_right():
    x = torch.rand(2, 3, 16, 20)
    moved = shifted(x, torch.tensor([[2.0, 3.0], [-1.0, 0.0]]))
    torch.testing.assert_close(moved[0, :, 4:-2, 5:-2], x[0, :, 2:-4, 2:-5], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[1, :, 2:-3, 2:-2], x[1, :, 3:-2, 2:-2], atol=1e-4, rtol=0)


def test_photon_noise_has_poissons_mean_and_variance():
    level, scale, peak = 0.4, 1.5, 400.0
    noisy = poisson(torch.full((1, 1, 400, 400), level), peak, torch.Generator().manual_seed(0), scale)
    assert float(noisy.mean()) == pytest.approx(level, rel=0.005)
    assert float(noisy.var()) == pytest.approx(level * scale**2 / peak, rel=0.02)


def test_quantising_is_what_a_file_does():
    x = torch.tensor([-0.2, 0.0, 0.5, 0.9999, 1.3])
    assert (quantise(x) * 255).tolist() == pytest.approx([0, 0, 128, 255, 255])


def test_one_picture_is_degraded_as_a_batch_of_one_with_seed_0(hr):
    image = to_image(hr[0])
    assert np.array_equal(degrade(image, 4, Camera()), to_image(Camera()(to_tensor(image), 4, 0)))


def test_a_jpeg_is_what_pillow_reads_back(hr, tmp_path):
    for number, picture in enumerate(hr):
        Image.fromarray(to_image(picture)).save(tmp_path / "file.jpg", quality=40)
        assert torch.equal(Jpeg(40)(hr)[number], to_tensor(read_image(tmp_path / "file.jpg"))[0])


def test_noise_has_its_sigma_in_every_channel_and_grey_noise_is_one_for_all():
    flat = torch.full((1, 3, 200, 200), 0.5)
    colour, grey = (noise(flat) * 255 - 127.5 for noise in (Noise(10), Noise(10, grey=True)))
    for noise in (colour, grey):
        assert noise.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=0.2)
        assert noise.std((0, 2, 3)).tolist() == pytest.approx([10, 10, 10], rel=0.02)
    assert torch.equal(Noise(10)(flat, 1, 0), Noise(10)(flat)), "seed 0 where none is given"
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert abs(torch.corrcoef(colour[0].flatten(1))[0, 1]) < 0.03


def test_a_chain_is_its_steps_one_after_another_on_whichever_side_of_the_shrinking(hr):
    lr = Then(BlurDown(1.2), Noise(8), Jpeg(50))(hr, 4, 7)
    assert torch.equal(lr, Jpeg(50)(Noise(8)(BlurDown(1.2)(hr, 4, 7), 4, 8), 4, 9))
    assert torch.equal(Then(Noise(8), Bicubic())(hr, 4, 7), Bicubic()(Noise(8)(hr, 4, 7), 4))
    assert (Then(HighOrder(), Jpeg(30)).fresh, Then(Bicubic(), Jpeg(30)).fresh) == (True, False)
    assert (Then(Unknown(), Jpeg(30)).directed, Then(Bicubic(), Jpeg(30)).directed) == (True, False)


def test_a_name_finds_its_degradation_and_a_near_one_is_told():
    named = {"bicubic": Bicubic(), "blur": BlurDown(1.6), "unknown": Unknown(1.0), "high_order": HighOrder(1.0)}
    named |= {"mild": Camera(False, 1.0), "wild": Camera(True, 1.0)}
    named |= {"noise": Then(Bicubic(), Noise(10)), "jpeg": Then(Bicubic(), Jpeg(40))}
    assert {name: find(name) for name in named} == named == DEGRADATIONS
    assert len({*named.values(), *DEGRADATIONS.values()}) == len(named), "equal ones are one, as a recipe's parts are"
    with pytest.raises(SrkitError, match="did you mean high_order.*bicubic"):
        find("High-Ordr")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: Jpeg(0), "quality 0 does not do: give a whole number from 1 to 100"),
        (lambda: Jpeg(101), "quality 101 does not do"),
        (lambda: Noise(-1), "sigma -1 does not do: give a number from 0 to 255"),
        (lambda: HighOrder(1.5), "strength 1.5 does not do: give a number from 0 to 1"),
        (lambda: HighOrder(float("nan")), "strength nan does not do"),
        (lambda: BlurDown(-1), "sigma -1 does not do: give a number from 0 to 20."),
        (lambda: Unknown(-1), "strength -1 does not do: give a number from 0 to 10."),
        (lambda: Camera(strength=-1), "strength -1 does not do: give a number from 0 to 10."),
        (lambda: HighOrder()(torch.rand(1, 3, 20, 96), 4), "96 x 20 is smaller than the largest blur, 21 pixels"),
        (
            lambda: Then(Noise(5), Jpeg(50))(torch.rand(1, 3, 24, 32), 4),
            "makes 32 x 24 of 32 x 24 at x4, in place of 8 x 6",
        ),
        (lambda: Then(Bicubic(), Bicubic())(torch.rand(1, 3, 64, 64), 4), "makes 4 x 4 of 64 x 64"),
        (lambda: degrade(np.zeros((24, 24, 3), np.uint8), 4, Jpeg(50)), "let exactly one of its steps shrink"),
    ],
)
def test_what_cannot_be_is_one_sentence(wrong, sentence):
    with pytest.raises(SrkitError, match=re.escape(sentence)):
        wrong()


def test_a_pillow_without_jpeg_is_named(hr, monkeypatch):
    monkeypatch.setattr("srkit.noise.features.check", lambda name: False)
    with pytest.raises(SrkitError, match="Pillow writes no JPEG"):
        Jpeg(40)(hr)

import numpy as np
import pytest
import skimage.data

from srkit.degradations import BlurDown, Noise
from srkit.files import SrkitError
from srkit.images import to_image, to_tensor
from srkit.no_reference import niqe

# By BasicSR 1.4.2's calculate_niqe, which follows the authors' MATLAB code, on grey pictures as rgb2gray makes them.
BASICSR = {
    "astronaut": (3.0695, 7.1361, 8.3792),
    "coffee": (4.0660, 7.9297, 9.4717),
    "chelsea": (2.5721, 8.3257, 7.4453),
}


@pytest.mark.parametrize(("name", "published"), BASICSR.items())
def test_niqe_is_basicsrs_on_photographs_blurred_ones_and_noisy_ones(name, published):
    image = getattr(skimage.data, name)()
    x = to_tensor(image)
    ours = niqe(image), niqe(to_image(BlurDown(2.0)(x, 1))), niqe(to_image(Noise(15)(x)))
    assert ours == pytest.approx(published, abs=0.01)


def test_a_grey_picture_is_its_own_grey_and_what_is_beyond_whole_squares_does_not_count():
    grey = skimage.data.camera()[:200, :300]
    assert niqe(grey) == niqe(grey[:192, :288])
    assert niqe(grey) == pytest.approx(niqe(np.repeat(grey[..., None], 3, axis=2)), abs=0.02)


def test_a_picture_is_described_alike_by_one_band_and_by_several(monkeypatch):
    image = skimage.data.coffee()[:384, :300]
    whole = niqe(image)
    monkeypatch.setattr("srkit.no_reference.BAND", 96)
    assert niqe(image) == pytest.approx(whole, abs=1e-6)
    monkeypatch.setattr("srkit.no_reference.REACH", 0)  # the test sees where the filters lack their surroundings
    assert niqe(image) != pytest.approx(whole, abs=1e-4)


def test_pictures_that_niqe_cannot_judge_are_named():
    with pytest.raises(SrkitError, match="150 x 150 is too small for NIQE"):
        niqe(np.zeros((150, 150, 3), np.uint8))
    with pytest.raises(SrkitError, match="flat nearly everywhere"):
        niqe(np.full((200, 200, 3), 7, np.uint8))

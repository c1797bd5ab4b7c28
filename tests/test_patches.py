import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srkit.dataset import Patches, dihedral
from srkit.degradations import Bicubic, Camera, HighOrder, Jpeg, Unknown, degrade
from srkit.files import SrkitError
from srkit.images import to_tensor
from srkit.resident import fits


def ramp(height, width, offset=0):
    """A picture whose every pixel says where it is: red the row, green the column, blue the picture."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, offset)], axis=2).astype(np.uint8)


class Nearest:
    def __call__(self, hr, scale, seed):
        return hr[..., ::scale, ::scale]


def made(images, scale=2, crop=16, **options):
    return Patches({Path(f"{n}.png"): image for n, image in enumerate(images)}, scale, crop, **options)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_and_hr_show_the_same_place_in_every_flip_and_turn(scale):
    patches = made([ramp(97, 120), ramp(80, 70, offset=200)], scale, 8 * scale, degradation=Nearest())
    lr, hr = patches.batch(0, 64)
    assert lr.shape == (64, 3, 8, 8)
    assert hr.shape == (64, 3, 8 * scale, 8 * scale)
    # In a block of scale x scale HR pixels, the LR pixel is the one of least row and column.
    blocks = hr.unfold(2, scale, scale).unfold(3, scale, scale).amin((-2, -1))
    torch.testing.assert_close(blocks, lr)


def test_crops_differ_within_a_batch_and_cover_the_picture():
    patches = made([ramp(64, 64)])
    _, hr = patches.batch(0, 512)
    corners = {(int(a), int(b)) for a, b in (hr[:, :2].amin((2, 3)) * 255).round().int()}
    assert len(corners) > 200
    rows, columns = zip(*corners, strict=True)
    assert (min(rows), max(rows), min(columns), max(columns)) == (0, 48, 0, 48)
    assert {*patches.drawn(0, 512)[2]} == {*range(8)}


def test_a_batch_depends_on_seed_and_step_alone():
    images = [ramp(64, 64)]
    again = made(images, seed=1).batch(7, 4)[1]
    assert torch.equal(made(images, seed=1).batch(7, 4)[1], again)
    assert not torch.equal(made(images, seed=1).batch(8, 4)[1], again)
    assert not torch.equal(made(images, seed=2).batch(7, 4)[1], again)
    assert torch.equal(made(images).batch(7, 4)[1], made(images, seed=0).batch(7, 4)[1])


def test_dihedral_gives_pillows_eight_flips_and_turns():
    image = np.random.default_rng(0).integers(0, 255, (5, 5, 3), np.uint8)
    pillow = Image.fromarray(image)
    turned = [pillow.transpose(way) for way in Image.Transpose] + [pillow]
    theirs = {np.asarray(t).tobytes() for t in turned}
    ours = {np.ascontiguousarray(dihedral(image, which)).tobytes() for which in range(8)}
    assert len(ours) == 8
    assert ours == theirs
    for which, way in ((1, Image.Transpose.ROTATE_90), (4, Image.Transpose.FLIP_LEFT_RIGHT)):
        assert np.array_equal(dihedral(image, which), pillow.transpose(way))


def test_the_lr_is_a_crop_of_the_whole_pictures_lr():
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    whole = Bicubic()(to_tensor(image), 4)
    lr, _ = made([image], 4, 48).batch(3, 8)
    views = [torch.from_numpy(dihedral(whole[0].permute(1, 2, 0).numpy(), w).copy()).permute(2, 0, 1) for w in range(8)]
    for crop in lr:
        assert any(torch.allclose(crop, view, atol=1e-6) for view in views)


@pytest.mark.parametrize("given", [False, True])
def test_pairs_of_one_fixed_shift_are_never_turned(tmp_path, given):
    image = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    options = {"degradation": Unknown()}
    if given:
        Image.fromarray(degrade(image, 4, Unknown())).save(tmp_path / "lr.png")
        options = {"given": {Path("0.png"): tmp_path / "lr.png"}, "directed": True}
    lr, hr = made([image], 4, 48, **options).batch(3, 8)
    assert torch.equal(hr, to_tensor(image).expand(8, -1, -1, -1))
    assert torch.equal(lr, Unknown()(to_tensor(image), 4).expand(8, -1, -1, -1))
    if given:
        assert not torch.equal(hr, made([image], 4, 48, given=options["given"]).batch(3, 8)[1]), (
            "turned unless it is said"
        )


def test_a_photograph_smaller_than_the_crop_is_named_with_its_size_and_the_way_out():
    with pytest.raises(
        SrkitError, match=r"1\.png is 120 x 90, smaller than the 96-pixel crop: use --crop 80, or leave it"
    ):
        made([ramp(200, 200), ramp(90, 120)], 4, 96)
    with pytest.raises(
        SrkitError, match=r"0\.png is 64 x 100, 2\.png is 90 x 100, smaller .*: use --crop 64, or leave them"
    ):
        made([ramp(100, 64), ramp(200, 200), ramp(100, 90)], 4, 96)
    with pytest.raises(SrkitError, match=r"0\.png is 9 x 9, smaller than the 96-pixel crop: leave it out"):
        made([ramp(9, 9), ramp(200, 200)], 4, 96)
    for crop, better in ((100, 96), (10, 48)):
        with pytest.raises(SrkitError, match=f"not a multiple of the scale 3: use --crop {better}"):
            made([ramp(200, 200)], 3, crop)


def test_the_parts_of_a_batch_make_the_whole(tmp_path):
    patches = made([ramp(64, 64), ramp(40, 50, 9)])
    lr, hr = patches.batch(5, 6)
    assert [len(each) for each in patches.drawn(5, 6)] == [6, 6, 6]
    parts = [patches.batch(5, 6, (rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat([part[0] for part in parts]), lr)
    assert torch.equal(torch.cat([part[1] for part in parts]), hr)


@pytest.mark.parametrize("degradation", [Bicubic(), Camera(each=True)])
def test_lr_kept_in_a_file_is_the_same_as_in_memory(tmp_path, degradation):
    images = [np.random.default_rng(n).integers(0, 255, (40, 48 + n, 3), np.uint8) for n in range(3)]
    options = {"scale": 2, "crop": 32, "degradation": degradation}
    for seed in (1, 2, 1):
        wanted = made(images, **options, seed=seed).batch(0, 8)
        for ours, theirs in zip(made(images, **options, seed=seed, cache=tmp_path).batch(0, 8), wanted, strict=True):
            assert torch.equal(ours, theirs)
    assert len(list(tmp_path.glob("*.u8"))) == (1 if degradation == Bicubic() else 2)


def test_lr_of_a_degradation_of_ones_own_is_made_anew_where_its_source_is_another(tmp_path):
    images = [np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)]
    for factor in (1.0, 0.5, 1.0):
        file = tmp_path / f"own{factor}.py"
        text = "class Own:\n    def __repr__(self):\n        return 'Own()'\n    def __call__(self, hr, scale, seed):\n"
        file.write_text(f"{text}        return hr[..., ::scale, ::scale] * {factor}\n")
        own = runpy.run_path(str(file))["Own"]()
        ours, theirs = (made(images, degradation=own, cache=cache).batch(0, 8)[0] for cache in (tmp_path, None))
        assert torch.equal(ours, theirs)
    assert len(list(tmp_path.glob("*.u8"))) == 2


FUNCTIONS = """
import sys
from pathlib import Path
import numpy as np
from srkit.dataset import Patches
from srkit.degradations import Jpeg, Then

def shrunk(hr, scale, seed=0):
    return hr[..., ::scale, ::scale]

def darker(by):
    return lambda hr, scale, seed=0: hr[..., ::scale, ::scale] * by

for number, own in enumerate((shrunk, darker(0.5), darker(0.2), Then(shrunk, Jpeg(90)), Then(darker(0.2), Jpeg(90)))):
    images = {Path("a.png"): np.full((40, 48, 3), 200, np.uint8)}
    lr = Patches(images, 4, 32, own, cache=Path(sys.argv[1]) / str(number % 2)).lr[0]
    print(lr.mean().round())
"""


def test_lr_of_functions_of_ones_own_is_kept_for_the_next_process_and_for_no_other_function(tmp_path):
    """By a function's address each run made its own file; by its name and source alone, two closures share one."""
    (tmp_path / "mine.py").write_text(FUNCTIONS)
    for _ in range(2):
        said = subprocess.run(
            [sys.executable, "mine.py", "c"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == ["200.0", "100.0", "40.0", "200.0", "40.0"]
    assert len(list(tmp_path.glob("c/*/*.u8"))) == 5


class FreshBicubic(Bicubic):
    fresh = True


def test_a_crop_degraded_by_itself_has_the_edges_of_the_whole_pictures_lr():
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, size, np.uint8) for size in ((130, 97, 3), (64, 128, 3))]
    for ours, theirs in zip(
        *(made(images, 4, 48, degradation=kind).batch(3, 32) for kind in (FreshBicubic(), Bicubic())), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=0.003, rtol=0)  # half a level of rounding


class Recording(Nearest):
    """Keeps where in a ramp each HR picture lies that it is given: its top and left, its bottom and right."""

    fresh = True

    def __init__(self):
        self.seen = []

    def __call__(self, hr, scale, seed):
        places = (hr[0, :2] * 255).round().int()
        self.seen.append([*places.amin((1, 2)).tolist(), *(places.amax((1, 2)) + 1).tolist()])
        return super().__call__(hr, scale, seed)


def test_a_fresh_crop_has_two_to_nine_lr_pixels_around_it_on_each_side_of_its_own():
    recording = Recording()
    patches, margins = made([ramp(240, 250)], 4, 16, degradation=recording), []
    for step in range(300):
        places = (patches.batch(step, 1)[1][0, :2] * 255).round()
        first, end = places.amin((1, 2)), places.amax((1, 2)) + 1
        top, left, bottom, right = recording.seen[-1]
        if top and left and bottom < 240 and right < 248:  # and not cut off by the photograph's edge
            margins.append([first[0] - top, first[1] - left, bottom - end[0], right - end[1]])
    up, left, down, right = (torch.tensor(margins).T / 4).int().tolist()
    assert {*up} == {*left} == {*down} == {*right} == {*range(2, 10)}
    assert len({*zip(up, left, strict=True)}) > 50, "one side does not say the other"
    assert {a + b for a, b in zip(up + left, down + right, strict=True)} == {11}


def test_a_fresh_degradation_is_drawn_for_each_crop_from_seed_and_step_and_place_alone():
    image = np.full((64, 64, 3), 128, np.uint8)
    patches = made([image], 4, 48, degradation=HighOrder())
    lr = patches.batch(5, 6)[0]
    assert lr.shape == (6, 3, 12, 12)
    assert len({tuple(crop.flatten().tolist()) for crop in lr}) == 6
    assert torch.equal(made([image], 4, 48, degradation=HighOrder()).batch(5, 6)[0], lr)
    assert not torch.equal(patches.batch(6, 6)[0], lr)
    parts = [patches.batch(5, 6, (number, 3))[0] for number in range(3)]
    assert torch.equal(torch.cat(parts), lr)
    assert not fits(patches, torch.device("cuda")), "its LR cannot lie on a GPU beforehand"


def test_a_degradation_that_keeps_the_size_is_told_from_its_result():
    with pytest.raises(SrkitError, match="makes 64 x 64 of 64 x 64 at x4, in place of 16 x 16"):
        made([ramp(64, 64)], 4, 48, degradation=Jpeg(50))

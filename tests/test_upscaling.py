"""Any picture in, a bigger one of the same kind out: pixels, files, weights, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from safetensors.torch import save_file
from torchvision.io import ImageReadMode, decode_png

from srkit import pretrained
from srkit.cli import main
from srkit.files import SrkitError
from srkit.generator import SRResNet, interpolate, sharpen
from srkit.image_files import Picture, read_picture, write_picture
from srkit.images import read_image, to_image, to_tensor
from srkit.recipes import RECIPES
from srkit.records import describe
from srkit.resize import imresize
from srkit.runs import Run
from srkit.upscaling import targets, upscale, upscale_file
from srkit.weights_files import open_weights, save_weights

pytestmark = pytest.mark.usefixtures("one_thread", "exact")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def bicubic() -> SRResNet:
    """A fresh network with the skip, which answers with exactly the bicubic picture: what to expect is known."""
    return SRResNet(2, channels=2, blocks=1, norm=None, ends_kernel=3, skip=True).eval()


@pytest.fixture(scope="module")
def network() -> SRResNet:
    torch.manual_seed(0)
    return SRResNet(2, channels=4, blocks=1).eval()


@pytest.fixture
def photo() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[20:44, 200:236])  # (24, 36, 3)


def expected(pixels: np.ndarray) -> np.ndarray:
    """MATLAB's bicubic of each channel, by itself."""
    top = np.iinfo(pixels.dtype).max
    values = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1).astype(np.float64)).permute(2, 0, 1)[None]
    big = imresize(values, 2)[0].permute(1, 2, 0).numpy().clip(0, top).round()
    return big.reshape(*big.shape[:2], *pixels.shape[2:])


def test_a_colour_picture_is_what_the_network_says(network, photo):
    with torch.no_grad():
        plain = to_image(network(to_tensor(photo)))
    np.testing.assert_array_equal(upscale(photo, network), plain)
    assert np.abs(upscale(photo, network, tile=9).astype(int) - plain).max() <= 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [None, 2, 3, 4])
def test_every_kind_of_array_comes_back_as_its_own_kind(bicubic, kind, channels):
    shape = (11, 13, channels) if channels else (11, 13)
    pixels = np.random.default_rng(0).integers(1, np.iinfo(kind).max, shape, kind)
    sr = upscale(pixels, bicubic)
    assert sr.dtype == kind
    assert sr.shape == (22, 26, *shape[2:])
    assert np.abs(sr - expected(pixels)).max() <= (1 if kind == np.uint8 else 3)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4, 5), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_picture_is_refused(bicubic, wrong):
    with pytest.raises(SrkitError, match="is no picture: give uint8 or uint16"):
        upscale(wrong, bicubic)


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV", "LAB", "RGBA", "LA", "L", "1", "I;16"])
def test_a_pil_image_of_any_mode_is_enlarged_as_its_colours(bicubic, photo, mode):
    image = Image.fromarray(photo)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    elif mode == "I;16":
        image = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    alike = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "LAB": "RGB"}.get(mode, mode)
    wanted = expected(np.array(image.convert(alike)))
    sr = upscale(image, bicubic)
    assert sr.shape == wanted.shape
    assert np.abs(sr.astype(float) - wanted).max() <= (3 if mode == "I;16" else 1)


def test_a_pil_photograph_is_turned_upright_and_one_of_floats_refused(bicubic, photo):
    image = Image.fromarray(photo)
    image.getexif()[0x0112] = 6
    assert upscale(image, bicubic).shape == (72, 48, 3)
    with pytest.raises(SrkitError, match="PIL image of mode F is no picture"):
        upscale(Image.fromarray(photo[..., 0].astype(np.float32)), bicubic)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": 0}, "scale 0 does not do: give a whole number from 1 on"),
        ({"scale": "4"}, "scale '4' does not do: give a whole number"),
        ({"scale": 2.5}, "scale 2.5 does not do"),
        ({"scale": True}, "scale True does not do"),
        ({"tile": 0}, "tile 0"),
        ({"tile": 7.5}, "tile 7.5"),
        ({"max_pixels": 0}, "max pixels 0"),
        ({"sharpen": float("nan")}, "sharpen nan does not do: give a number from 0 on"),
        ({"sharpen": float("inf")}, "sharpen inf"),
        ({"sharpen": -1}, "sharpen -1"),
        ({"sharpen": "much"}, "sharpen 'much'"),
        ({"precision": "fp8"}, "precision 'fp8' is unknown: choose fp32 or bf16"),
        ({"device": "abacus"}, "'abacus' is not to be had here"),
    ],
)
def test_numbers_that_do_not_fit_are_named(bicubic, photo, options, said):
    with pytest.raises(SrkitError, match=said):
        upscale(photo, bicubic, **options)


def test_bf16_stays_within_few_levels_and_is_no_matter_of_16_bits(photo, monkeypatch):
    network = pretrained.load("srresnet_light", 4)
    exact = upscale(photo, network, precision="fp32")
    coarse = upscale(photo, network, precision="bf16").astype(int) - exact
    assert 0 < np.abs(coarse).max() <= 4
    assert np.square(coarse).mean() < 0.2  # against 60 of the network's own error: less than 0.02 dB
    deep = photo.astype(np.uint16) * 257
    monkeypatch.setattr("srkit.device.quick_bf16", lambda: True)
    np.testing.assert_array_equal(upscale(photo, network) - exact.astype(int), coarse)
    np.testing.assert_array_equal(upscale(deep, network), upscale(deep, network, precision="fp32"))


def test_the_callers_network_stays_as_it_was(network, photo):
    network.train()
    upscale(photo, network)
    assert network.training
    network.eval()


def test_black_under_what_is_transparent_does_not_darken_its_edges(bicubic):
    pixels = np.zeros((20, 20, 4), np.uint8)
    y, x = np.mgrid[:20, :20]
    pixels[(y - 10) ** 2 + (x - 10) ** 2 < 40] = (250, 40, 30, 255)
    sr = upscale(pixels, bicubic)
    assert np.abs(sr[sr[..., 3] > 0][:, :3].astype(int) - (250, 40, 30)).max() <= 1
    assert not upscale(np.zeros((5, 6, 4), np.uint8), bicubic)[..., 3].any()  # with nothing to take them from


def test_an_even_alpha_stays_even(network, photo):
    for alpha in (255, 77):
        pixels = np.dstack([photo, np.full(photo.shape[:2], alpha, np.uint8)])
        assert (upscale(pixels, network, tile=7)[..., 3] == alpha).all()


def test_the_ensemble_is_the_mean_over_eight_flips_and_turns(network, photo):
    answers = []
    for mirrored in (False, True):
        for turns in range(4):
            seen = np.rot90(photo[:, ::-1] if mirrored else photo, turns)
            with torch.no_grad():
                answer = network(to_tensor(np.ascontiguousarray(seen)))[0].permute(1, 2, 0).numpy()
            answer = np.rot90(answer, -turns)
            answers.append(answer[:, ::-1] if mirrored else answer)
    mean = np.clip(np.mean(answers, axis=0), 0, 1) * 255
    sr = upscale(photo, network, ensemble=True)
    assert np.abs(sr - mean).max() < 0.51
    assert np.abs(upscale(photo, network, ensemble=True, tile=8).astype(int) - sr).max() <= 1
    turned = upscale(np.ascontiguousarray(np.rot90(photo)), network, ensemble=True)
    assert np.abs(turned.astype(int) - np.rot90(sr)).max() <= 1, "it has no favourite side"


def test_a_network_of_one_part_has_its_ensemble_too(photo):
    class Larger(torch.nn.Module):
        scale = 2

        def forward(self, lr):
            return lr.repeat_interleave(2, 2).repeat_interleave(2, 3)

    np.testing.assert_array_equal(upscale(photo, Larger(), ensemble=True), photo.repeat(2, 0).repeat(2, 1))


def test_sharpening_follows_the_network(network, photo):
    with torch.no_grad():
        plain = to_image(sharpen(network(to_tensor(photo)), 0.7))
    assert np.abs(upscale(photo, network, sharpen=0.7, tile=6).astype(int) - plain).max() <= 1


def a_run(folder, sharpening=0.0, phases=("psnr",)) -> Run:
    made = RECIPES["srgan_light"]
    recipe = describe(made) | {"scale": 2, "sharpen": sharpening}
    recipe["generator"] = describe(made.generator) | {"scale": 2, "channels": 4, "blocks": 1}
    folder.mkdir(parents=True)
    found = Run(folder)
    found.write_config({"recipe": recipe, "profile": "laptop", "seed": 0, "data": {"name": "starter"}})
    for number, phase in enumerate(phases):
        torch.manual_seed(number)
        network = SRResNet(2, channels=4, blocks=1, norm=None, ends_kernel=3, skip=True)
        torch.nn.init.normal_(network.tail[0].weight, std=0.2)
        save_weights(network, found.weights(phase))
    return found


def test_a_recipe_that_sharpens_does_so_once_and_without_seams(tmp_path, photo):
    network = a_run(tmp_path / "run", sharpening=0.6).generator()
    with torch.no_grad():
        plain = to_image(network(to_tensor(photo)))  # its hook sharpens
    for tile in (None, 7):
        assert np.abs(upscale(photo, network, tile=tile).astype(int) - plain).max() <= 1


def test_alpha_lies_between_the_phases_of_a_run(tmp_path, photo):
    mine = a_run(tmp_path / "runs" / "one", phases=("psnr", "gan"))
    options = {"scale": 2, "runs": tmp_path / "runs"}
    between = upscale(photo, interpolate(mine.generator("psnr"), mine.generator("gan"), 0.3))
    np.testing.assert_array_equal(upscale(photo, "srgan_light", alpha=0.3, **options), between)
    np.testing.assert_array_equal(
        upscale(photo, "srgan_light", alpha=0, **options), upscale(photo, mine.generator("psnr"))
    )
    with pytest.raises(SrkitError, match="does not lie between"):
        upscale(photo, "srgan_light", alpha=1.5, **options)
    with pytest.raises(SrkitError, match="name a recipe"):
        upscale(photo, mine.generator(), alpha=0.5)


# Files


def saved(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


FILES = {
    "png": ("RGB", {}),
    "jpg": ("RGB", {"quality": 95}),
    "jpeg": ("L", {"quality": 95}),
    "webp": ("RGBA", {"lossless": True}),
    "tif": ("RGB", {}),
    "tiff": ("LA", {}),
    "bmp": ("RGB", {}),
    "gif": ("L", {}),
}


@pytest.mark.parametrize("suffix", FILES)
def test_a_file_comes_back_as_its_own_kind(tmp_path, bicubic, photo, suffix):
    mode, options = FILES[suffix]
    source = saved(tmp_path / f"a.{suffix}", photo, mode, **options)
    target = upscale_file(source, tmp_path / "out" / source.name, bicubic)
    with Image.open(target) as image:
        assert image.format == {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        assert image.size == (72, 48)
    sr = read_picture(target).pixels
    wanted = expected(read_picture(source).pixels)
    if wanted.shape != sr.shape:  # a GIF is a palette, a grey one too
        wanted = np.dstack([wanted] * 3) if wanted.ndim == 2 else wanted[..., [0, 0, 0, 1]]
    assert np.abs(sr - wanted).mean() < (1 if suffix in ("png", "bmp", "tif", "tiff", "webp") else 4)
    assert not list((tmp_path / "out").glob(".*")), "nothing half-written stays"


@pytest.mark.parametrize(("mode", "out"), [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGBA", "RGBA")])
def test_the_modes_of_a_png(tmp_path, bicubic, photo, mode, out):
    source = saved(tmp_path / "a.png", photo, mode)
    with Image.open(upscale_file(source, tmp_path / "b.png", bicubic)) as image:
        assert (image.mode, image.size) == (out, (72, 48))


def test_a_palettes_transparent_colour_stays_transparent(tmp_path, bicubic):
    image = Image.new("P", (8, 6))
    image.putpalette([255, 0, 0, 0, 0, 255])
    for x in range(4, 8):
        for y in range(6):
            image.putpixel((x, y), 1)
    for suffix in ("png", "gif"):
        image.save(tmp_path / f"a.{suffix}", transparency=0)
        sr = read_picture(upscale_file(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}", bicubic)).pixels
        assert sr.shape == (12, 16, 4)
        assert (sr[:, :6, 3] == 0).all()
        assert (sr[:, 9:] == (0, 0, 255, 255)).all()


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize(
    ("suffix", "channels"), [*(("png", n) for n in (1, 2, 3, 4)), *(("tif", n) for n in (1, 3, 4))]
)
def test_sixteen_bits_come_out_as_sixteen(tmp_path, bicubic, suffix, channels):
    pixels = np.random.default_rng(1).integers(20_000, 45_000, (9, 8, channels), np.uint16)
    pixels = pixels[..., 0] if channels == 1 else pixels
    write_picture(tmp_path / f"a.{suffix}", Picture(pixels, {"tif": "TIFF", "png": "PNG"}[suffix]))
    target = upscale_file(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}", bicubic)
    if suffix == "tif":
        sr = tifffile.imread(target)
    else:
        file = torch.frombuffer(bytearray(target.read_bytes()), dtype=torch.uint8)
        sr = decode_png(file, mode=ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy().squeeze()
    assert sr.dtype == np.uint16
    assert np.abs(sr - expected(pixels)).max() <= 3


def test_a_tiff_whose_0_is_white_is_read_so(tmp_path):
    values = np.array([[0, 1000], [65535, 7]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, 65535 - values)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize(("turn", "steps"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_photograph_is_turned_upright_once_and_keeps_its_story(tmp_path, bicubic, photo, suffix, turn, steps):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", turn
    exif[0x8769] = {0x9003: "2020:02:03 04:05:06"}
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    saved(tmp_path / f"a.{suffix}", photo, exif=exif.tobytes(), icc_profile=SRGB, **options)
    target = upscale_file(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}", bicubic)
    with Image.open(target) as image:
        kept = image.getexif()
        assert (kept[0x010F], kept.get(0x0112, 1)) == ("Maker", 1)
        assert kept.get_ifd(0x8769)[0x9003] == "2020:02:03 04:05:06"
        assert image.info["icc_profile"] == SRGB
    sr = read_image(target).astype(int)
    assert np.abs(sr - expected(np.ascontiguousarray(np.rot90(photo, steps)))).mean() < 4


@pytest.mark.parametrize("turn", range(1, 9))
def test_sixteen_bits_are_turned_as_eight_are(tmp_path, photo, turn):
    """Pillow turns the 8-bit one."""
    exif = Image.Exif()
    exif[0x0112] = turn
    about = {"exif": exif.tobytes(), "icc_profile": SRGB}
    write_picture(tmp_path / "deep.png", Picture(photo.astype(np.uint16) * 257, about=about))
    saved(tmp_path / "usual.png", photo, exif=exif)
    deep, usual = read_picture(tmp_path / "deep.png"), read_picture(tmp_path / "usual.png")
    np.testing.assert_array_equal(deep.pixels, usual.pixels.astype(np.uint16) * 257)
    assert deep.about["icc_profile"] == SRGB


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"planarconfig": "separate"},
    ],
)
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_in_every_layout_of_a_tiff(tmp_path, options, channels):
    pixels = np.random.default_rng(1).integers(0, 65536, (9, 8, channels)).astype(np.uint16)
    more = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **more, **options)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)


def test_the_targets_suffix_says_its_kind(tmp_path, bicubic, photo):
    source = saved(tmp_path / "a.png", np.dstack([photo, np.zeros((24, 36), np.uint8)]))
    with Image.open(upscale_file(source, tmp_path / "b.jpg", bicubic)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert np.asarray(image).min() > 250, "what is transparent is laid on white"
    source.rename(tmp_path / "a.jpg")
    with Image.open(upscale_file(tmp_path / "a.jpg", tmp_path / "c.jpg", bicubic)) as image:
        assert image.format == "JPEG", "a PNG that is called .jpg"
    (tmp_path / "a.jpg").rename(tmp_path / "plain")
    with Image.open(upscale_file(tmp_path / "plain", tmp_path / "more", bicubic)) as image:
        assert image.format == "PNG"


def test_what_the_kind_cannot_hold_is_refused_before_the_work(tmp_path, photo):
    class Large:
        scale = 8

    source = saved(tmp_path / "a.webp", np.zeros((2, 2100, 3), np.uint8))
    with pytest.raises(SrkitError, match="more than WEBP can hold: choose --format png"):
        upscale_file(source, tmp_path / "b.webp", Large())


# Weights


def test_weights_say_themselves_what_they_are_of(tmp_path, photo):
    mine = a_run(tmp_path / "run", phases=("psnr", "gan"), sharpening=0.4)
    opened = open_weights(mine.weights("gan"))
    np.testing.assert_array_equal(upscale(photo, opened), upscale(photo, mine.generator("gan")))
    card = json.loads((pretrained.FOLDER / "srresnet_light-x4-psnr.json").read_text())
    network = open_weights(pretrained.FOLDER / card["file"])
    np.testing.assert_array_equal(upscale(photo, network), upscale(photo, "srresnet_light"))


def test_a_bare_state_dict_needs_its_recipe(tmp_path, photo):
    network = RECIPES["srresnet_light"].generator(scale=3).eval()
    torch.nn.init.normal_(network.tail[0].weight, std=0.1)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"params_ema": state, "steps": 5}, tmp_path / "theirs.pth")
    with pytest.raises(SrkitError, match="name its recipe by --recipe"):
        open_weights(tmp_path / "theirs.pth")
    opened = open_weights(tmp_path / "theirs.pth", "srresnet_light", 3)
    np.testing.assert_array_equal(upscale(photo, opened), upscale(photo, network))
    save_file(network.state_dict(), tmp_path / "bare.safetensors")
    np.testing.assert_array_equal(
        upscale(photo, open_weights(tmp_path / "bare.safetensors", "srresnet_light", 3)), upscale(photo, network)
    )
    for recipe, scale in (("srgan", 3), ("srresnet_light", 4)):
        with pytest.raises(SrkitError, match="does not hold just the weights of"):
            open_weights(tmp_path / "theirs.pth", recipe, scale)


# The command


@pytest.fixture
def weights(tmp_path) -> str:
    """A tiny network's file, which says itself what it is."""
    return str(a_run(tmp_path / "trained").weights("psnr"))


def test_a_folder_goes_on_past_bad_files_and_lists_them(tmp_path, weights, photo, capsys):
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a b.png", "ünïcode 画像.webp", "deeper/-dash.jpg"):
        saved(folder / name, photo)
    (folder / "words.png").write_text("no picture")
    (folder / "notes.txt").write_text("not asked for")
    assert main(["upscale", str(folder), "--out", str(tmp_path / "out"), "--weights", weights]) == 1
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert made == ["a b.png", "deeper/-dash.jpg", "ünïcode 画像.webp"]
    errors = capsys.readouterr().err
    assert errors.count("left out") == 1
    assert "words.png does not open as a picture" in errors


def test_nothing_is_written_over_unasked_and_never_the_source(tmp_path, weights, photo, capsys):
    source, out = saved(tmp_path / "a.png", photo), tmp_path / "out"
    call = ["upscale", str(source), "--weights", weights, "--out"]
    assert main([*call, str(out)]) == 0
    before = (out / "a.png").read_bytes()
    assert main([*call, str(out), "--sharpen", "1"]) == 1
    assert (out / "a.png").read_bytes() == before
    assert "--force" in capsys.readouterr().err
    assert main([*call, str(out), "--sharpen", "1", "--force"]) == 0
    assert (out / "a.png").read_bytes() != before
    before = source.read_bytes()
    assert main([*call, str(tmp_path), "--force"]) == 1
    assert source.read_bytes() == before


def test_two_pictures_for_one_place_and_an_empty_folder_stop_nobody_else(tmp_path, weights, photo, capsys):
    names = [str(saved(tmp_path / name, photo)) for name in ("a.png", "a.jpg", "b.bmp")]
    (tmp_path / "empty").mkdir()
    call = ["upscale", *names, str(tmp_path / "empty"), "--weights", weights, "--format", "png"]
    assert main([*call, "--out", str(tmp_path / "out")]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(errors) == 2
    assert "a.jpg would both become" in errors[0]
    assert "empty holds no pictures" in errors[1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    with pytest.raises(SrkitError, match="would both become"):
        targets(names, tmp_path / "out", "png")


def test_the_results_may_go_to_the_folder_above_to_the_folder_itself_and_below_it(
    tmp_path, weights, photo, monkeypatch
):
    folder = tmp_path / "photos"
    folder.mkdir()
    saved(folder / "a.png", photo)
    monkeypatch.chdir(tmp_path)
    for out in (".", str(tmp_path), "photos/out", "../" + tmp_path.name):
        assert main(["upscale", "photos", "--out", out, "--weights", weights, "--force"]) == 0
    assert (tmp_path / "a.png").exists()
    assert [(source.name, target) for source, target in targets(["photos"], "photos/out")] == [
        ("a.png", Path("photos/out/a.png"))
    ]
    assert main(["upscale", "photos", "--out", "photos", "--weights", weights, "--format", "webp"]) == 0
    assert (folder / "a.webp").exists()


def test_tilde_is_the_users_folder_here_too(tmp_path, weights, photo, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a.png", photo)
    assert main(["upscale", "~/a.png", "--out=~/out", "--weights", weights]) == 0
    assert (tmp_path / "out" / "a.png").exists()
    assert not (tmp_path / "~").exists()
    assert upscale("~/a.png", "srresnet_light").shape == (96, 144, 3)


def test_a_name_that_begins_with_a_dash_goes_after_two(tmp_path, weights, photo, monkeypatch):
    saved(tmp_path / "-a.png", photo)
    monkeypatch.chdir(tmp_path)
    assert main(["upscale", "--out", "out", "--weights", weights, "--format", "webp", "--", "-a.png"]) == 0
    assert (tmp_path / "out" / "-a.webp").exists()


def test_pictures_of_12_bits_are_named_and_enlarged_by_their_white(tmp_path, weights, photo):
    """As those of 16 bits, which they are then: black ones come out otherwise."""
    for name, white in (("12.png", 4095), ("16.png", 65535)):
        Image.fromarray((photo[..., 1].astype(np.uint32) * white // 255).astype(np.uint16)).save(tmp_path / name)
    where = ["--weights", weights, "--out", str(tmp_path / "out")]
    with pytest.warns(UserWarning, match="nearly black: 12.png; .*white=4095"):
        assert main(["upscale", str(tmp_path / "12.png"), *where]) == 0
    for name, white in (("12.png", ["--white", "4095"]), ("16.png", [])):
        assert main(["upscale", str(tmp_path / name), *where, "--force", *white]) == 0
    one, other = (read_picture(tmp_path / "out" / name).pixels.astype(float) for name in ("12.png", "16.png"))
    assert np.abs(one - other).max() < 65535 / 255
    assert other.max() > 16383

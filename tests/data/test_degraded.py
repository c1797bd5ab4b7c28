import json

import numpy as np
import pytest

from srkit.data.degraded import write_degraded
from srkit.data.sources import find_images, find_photographs
from srkit.degradations import Bicubic, HighOrder, Jpeg, Then
from srkit.evaluation import evaluate
from srkit.files import SrkitError
from srkit.images import read_image


def test_a_degraded_set_is_the_same_wherever_it_is_made_and_is_scored_as_pairs(tmp_path):
    photographs = find_photographs().valid
    first, again = (write_degraded(photographs, tmp_path / name, HighOrder(), 4, 7) for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*.*"))
    assert len(files) == 2 * len(photographs) + 1
    assert all((first / path).read_bytes() == (again / path).read_bytes() for path in files)
    hr, lr = find_images(first, 4)
    assert [path.stem for path in hr] == sorted(path.stem for path in photographs)
    for path, photograph in zip(hr, photographs, strict=True):
        whole, (height, width, _) = read_image(photograph), read_image(path).shape
        assert (height, width) == (whole.shape[0] // 4 * 4, whole.shape[1] // 4 * 4)
        assert np.array_equal(read_image(path), whole[:height, :width])
        assert read_image(lr[path]).shape == (height // 4, width // 4, 3)
    assert len(evaluate({"bicubic": "bicubic"}, hr, 4, given=lr)) == len(hr)
    pictures = json.loads((first / "manifest.json").read_text())["pictures"]
    assert [picture["seed"] for picture in pictures.values()] == [7, 8]


def test_the_manifest_names_each_step_of_a_chain_and_pictures_of_one_name_are_kept_apart(tmp_path):
    path = find_photographs().valid[0]
    folder = write_degraded([path, path], tmp_path / "set", Then(Bicubic(), Jpeg(40)))
    how = json.loads((folder / "manifest.json").read_text())
    assert how["degradation"] == {"name": "Then", "steps": [{"name": "Bicubic"}, {"name": "Jpeg", "quality": 40}]}
    assert {p.stem for p in (folder / "LR").iterdir()} == {path.stem, f"{path.stem}-1"}
    assert np.array_equal(*(read_image(p) for p in (folder / "LR").iterdir()))
    with pytest.raises(SrkitError, match="holds pictures already"):
        write_degraded([path], folder, Bicubic())

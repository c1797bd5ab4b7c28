"""Made-up histories, each with an illness that is known, and one without."""

import numpy as np
import pandas as pd
import pytest

from srkit import health
from srkit.health import findings, in_words


def history(phase="gan", lines=40, **changed):
    """A healthy one: losses that fall or stay with the noise of batches; `changed` columns instead."""
    random = np.random.default_rng(0)
    noise = lambda size: 1 + size * random.standard_normal(lines)  # noqa: E731
    column = {
        "phase": phase,
        "step": np.arange(1, lines + 1) * 100,
        "pixel": 0.01 * noise(0.2),
        "grad_norm": 0.5 * noise(0.3),
        "red": 0.004 * random.standard_normal(lines),
        "green": 0.004 * random.standard_normal(lines),
        "blue": 0.004 * random.standard_normal(lines),
        "psnr_y": np.where(np.arange(lines) % 5 == 4, 27 + 0.02 * np.arange(lines), np.nan),
    }
    if phase == "gan":
        column |= {
            "adversarial": 1.2 * noise(0.1),
            "discriminator": 0.9 * noise(0.1),
            "d_hr": 0.7 * noise(0.05),
            "d_sr": 0.3 * noise(0.05),
        }
    return pd.DataFrame(column | changed)


def ramp(start, end, lines=40):
    return np.linspace(start, end, lines)


ILL = {
    health.WON: {"d_sr": ramp(0.4, 0.001), "d_hr": ramp(0.6, 0.999), "discriminator": np.geomspace(1.2, 1e-3, 40)},
    health.IGNORED: {"d_sr": np.full(40, 0.12), "adversarial": ramp(2.0, 2.4), "discriminator": np.full(40, 0.4)},
    health.APART: {"d_hr": np.full(40, 0.95), "d_sr": np.full(40, 0.1)},
    health.NO_SAY: {"share_perceptual": np.full(40, 0.8), "share_adversarial": np.full(40, 0.02)},
    health.ALONE: {"share_perceptual": np.full(40, 0.04), "share_adversarial": np.full(40, 0.96)},
    health.RASTER: {"grid": np.where(np.arange(40) % 5 == 4, ramp(0.6, 1.3), np.nan), "grid_bicubic": np.full(40, 0.7)},
    health.DRIFT: {"blue": ramp(0, 0.06)},
    health.EXPLODED: {"grad_norm": np.r_[np.full(33, 0.5), np.geomspace(1, 1e4, 7)]},
    health.STALLED: {"grad_norm": np.r_[np.full(33, 0.5), np.full(7, np.inf)]},
    health.FALLEN: {"psnr_y": np.where(np.arange(40) % 5 == 4, ramp(28, 20), np.nan)},
}


@pytest.mark.parametrize("name", ILL)
def test_each_illness_is_named_alone_with_what_to_try(name):
    ill = history(**ILL[name])
    assert list(findings(ill)) == [name]
    assert name in in_words(ill)
    assert health.TRY[name] in in_words(ill)


@pytest.mark.parametrize("phase", ["psnr", "gan"])
def test_a_healthy_run_is_left_in_peace(phase):
    assert findings(history(phase)) == {}
    assert "nothing looks ill" in in_words(history(phase))


def test_colours_say_which_and_how_far():
    assert findings(history(blue=np.full(40, 0.04), red=np.full(40, -0.1))) == {
        health.DRIFT: "red -26, blue +10 of 255"
    }


def test_one_bad_batch_is_no_illness():
    spike = np.full(40, 0.5)
    spike[37] = 1e4
    blue = np.zeros(40)
    blue[35] = 0.5
    assert findings(history(grad_norm=spike, blue=blue)) == {}


def test_a_wasserstein_critic_is_not_judged_by_probabilities():
    scores = {"d_hr": ramp(1, 40), "d_sr": ramp(0, -30), "discriminator": ramp(-1, -70), "adversarial": ramp(0, 30)}
    assert findings(history(**scores)) == {}


def test_psnr_may_fall_in_the_second_phase_as_in_the_papers_and_not_in_the_first():
    fallen = np.where(np.arange(40) % 5 == 4, ramp(32.0, 29.4), np.nan)
    assert findings(history("gan", psnr_y=fallen)) == {}
    assert list(findings(history("psnr", psnr_y=fallen))) == [health.FALLEN]


def test_a_young_run_an_empty_one_and_one_of_an_earlier_version_are_not_judged():
    assert findings(history(**ILL[health.WON]).tail(5)) == {health.FEW: f"5 of {health.WINDOW}"}
    assert list(findings(history().head(0))) == [health.FEW]
    assert "too few lines to tell" in in_words(history().tail(5))
    assert findings(history().drop(columns=["red", "green", "blue"])) == {}


def test_only_the_phase_that_runs_is_judged():
    both = pd.concat([history("psnr", grad_norm=np.full(40, 1e-4)), history("gan")])
    assert findings(both) == {}


def test_a_training_keeps_its_findings_in_its_record_and_says_them(tmp_path, monkeypatch, capsys):
    from srkit import callbacks, training
    from srkit.cli import main

    found = {health.DRIFT: "blue +9 of 255"}
    for module in (callbacks, training):
        monkeypatch.setattr(module, "findings", lambda history: found)
    run = training.train("srresnet", "smoke", runs=tmp_path, crop=32, batch=1)
    assert run.config["health"] == found
    assert health.DRIFT in capsys.readouterr().err, "the progress line says it at each validation"
    assert main(["train", "srresnet", "--resume", "--crop", "32", "--batch", "1", "--runs", str(tmp_path)]) == 0
    assert "Health: " in capsys.readouterr().out


FLAT = {  # (sound, ill): both sides of the border of each word
    health.WON: (
        {"d_sr": 0.06, "d_hr": 0.8, "discriminator": 0.05},
        {"d_sr": 0.04, "d_hr": 0.8, "discriminator": 0.05},
    ),
    health.IGNORED: ({"d_sr": 0.21, "adversarial": 2.0}, {"d_sr": 0.19, "adversarial": 2.0}),
    health.APART: ({"d_hr": 0.99, "d_sr": 0.2}, {"d_hr": 0.99, "d_sr": 0.18, "adversarial": ramp(3, 1)}),
    health.NO_SAY: ({"share_pixel": 0.031, "share_adversarial": 0.5}, {"share_pixel": 0.029, "share_adversarial": 0.5}),
    health.ALONE: ({"share_pixel": 0.04, "share_adversarial": 0.94}, {"share_pixel": 0.04, "share_adversarial": 0.96}),
    health.RASTER: ({"grid": 1.49, "grid_bicubic": 1.0}, {"grid": 1.51, "grid_bicubic": 1.0}),
    health.DRIFT: ({"red": 4.99 / 255}, {"red": 5.01 / 255}),
    health.EXPLODED: (
        {"grad_norm": np.r_[np.ones(36), np.full(4, 9.9)]},
        {"grad_norm": np.r_[np.ones(36), np.full(4, 10.1)]},
    ),
    health.STALLED: (
        {"d_grad_norm": np.r_[np.ones(37), np.full(3, np.inf)]},
        {"d_grad_norm": np.r_[np.ones(36), np.full(4, np.inf)]},
    ),
    health.FALLEN: (
        {"psnr_y": np.r_[np.full(36, 30.0), np.full(4, 26.1)]},
        {"psnr_y": np.r_[np.full(36, 30.0), np.full(4, 25.9)]},
    ),
}


@pytest.mark.parametrize("name", FLAT)
def test_each_word_has_its_border(name):
    sound, ill = ({key: np.broadcast_to(value, 40) for key, value in side.items()} for side in FLAT[name])
    assert name not in findings(history(**sound))
    assert name in findings(history(**ill))


def test_every_word_has_a_border_that_is_tried():
    assert FLAT.keys() == health.TRY.keys() - {health.FEW}


def test_a_silent_guard_is_no_illness_and_neither_is_a_single_loss():
    guard = {"share_checkerboard": np.full(40, 0.001), "share_pixel": np.full(40, 0.6)}
    assert findings(history(**guard)) == {}
    assert findings(history("psnr", share_pixel=np.ones(40))) == {}


def newest(new, old=np.nan, count=7):
    """`new` in the newest lines of 40, and `old` in those before."""
    return np.r_[np.full(40 - count, old), np.broadcast_to(new, count)]


def thin(*values):
    """A value now and then, as a validation gives it, or a step of the generator beside a critic's; the last is not."""
    line = np.full(40, np.nan)
    line[38 - 3 * np.arange(len(values))[::-1]] = values
    return line


WON = {"d_sr": 0.04, "d_hr": 0.8, "discriminator": 0.09}
IGNORED = {"d_sr": 0.19, "adversarial": 2.0}
APART = {"d_hr": 0.99, "d_sr": 0.1, "discriminator": 0.5, "adversarial": ramp(3, 1)}
FAINT = {"share_pixel": 0.02, "share_adversarial": 0.5}
SWINGS = np.array([-1, 1, -1, 1, -1, 1, 0]) / 255  # their standard deviation is one grey level
CASES = [  # what is seen in histories that differ from sound ones by this, and whether it is
    (health.WON, True, WON | {"discriminator": 0.095}),
    (health.WON, False, WON | {"discriminator": 0.105}),
    (health.WON, True, WON | {"discriminator": 0.0}),
    (health.WON, False, WON | {"d_hr": newest(1.5, 0.8, 1)}),
    (health.WON, False, WON | {"discriminator": newest(-0.5, 0.09, 1)}),
    (health.WON, False, WON | {"adversarial": newest(1.0, count=6)}),
    (health.IGNORED, True, IGNORED | {"d_sr": 0.195}),
    (health.IGNORED, False, IGNORED | {"d_sr": newest(0.205, 0.19)}),
    (health.IGNORED, False, IGNORED | {"d_sr": newest(0.19, 0.205)}),
    (health.IGNORED, True, IGNORED | {"d_sr": newest(0.19, 0.9, 14)}),
    (health.IGNORED, False, IGNORED | {"d_sr": newest(0.9, 0.19)}),
    (health.APART, True, APART | {"d_sr": newest(0.1, 0.9)}),
    (health.APART, False, APART | {"d_sr": newest(0.9, 0.1, 1)}),
    (health.APART, False, APART | {"d_sr": newest(-0.5, 0.1, 1)}),
    (health.APART, False, APART | {"d_hr": newest(1.5, 0.99, 1)}),
    (health.APART, False, APART | {"d_sr": newest(0.1, count=6)}),
    (health.APART, True, APART | {"d_sr": thin(*[0.1] * 7)}),
    (health.NO_SAY, True, FAINT | {"share_pixel": newest(0.02, 0.5)}),
    (health.NO_SAY, False, FAINT | {"share_pixel": newest(0.5, 0.02)}),
    (health.NO_SAY, True, FAINT | {"share_lpips": np.nan, "share_pixel": thin(*[0.02] * 7)}),
    (health.NO_SAY, False, FAINT | {"share_pixel": newest(0.02, count=6)}),
    (health.RASTER, True, {"grid": thin(1.0, 1.6), "grid_bicubic": 1.0}),
    (health.RASTER, False, {"grid": thin(1.6, 1.0), "grid_bicubic": 1.0}),
    (health.DRIFT, True, {"red": newest(10 / 255 + 8.6 * SWINGS, 0.0)}),  # 3 x 8.6 / sqrt(7) = 9.75
    (health.DRIFT, False, {"red": newest(10 / 255 + 9.0 * SWINGS, 0.0)}),  # 10.2
    (health.DRIFT, True, {"red": thin(*10 / 255 + 8.6 * SWINGS)}),
    (health.DRIFT, False, {"red": thin(*10 / 255 + 9.0 * SWINGS)}),
    (health.STALLED, False, {"grad_norm": newest(1.0, np.inf)}),
    (health.STALLED, False, {"psnr_y": np.inf}),
    (health.FALLEN, True, {"phase": "psnr", "psnr_y": thin(29.6, 30.0, 29.49, 29.49, 29.49)}),
    (health.FALLEN, False, {"phase": "psnr", "psnr_y": thin(29.6, 30.0, 29.51, 29.51, 29.51)}),
    (health.FALLEN, True, {"psnr_y": thin(30.0, 25.0, 25.0, 25.0)}),
    (health.FALLEN, False, {"psnr_y": thin(30.0, 29.0, 25.0, 25.0)}),
]


@pytest.mark.parametrize(("name", "ill", "changed"), CASES)
def test_each_word_looks_at_its_window_and_at_whole_lines_alone(name, ill, changed):
    changed = {key: value if isinstance(value, str) else np.broadcast_to(value, 40) for key, value in changed.items()}
    assert (name in findings(history(**changed))) == ill


@pytest.mark.parametrize("changed", [WON, APART, FAINT | {"share_perceptual": 0.4}])
def test_seven_lines_are_judged_and_six_are_not(changed):
    changed = {key: np.broadcast_to(value, 40)[:7] for key, value in changed.items()}
    seven = history(lines=7, **changed)
    assert findings(seven).keys() & {health.WON, health.APART, health.NO_SAY}
    assert findings(seven.head(6)) == {health.FEW: "6 of 7"}


def test_a_phase_begins_with_too_few_lines_whatever_was_before():
    begun = pd.concat([history("psnr"), history("gan", lines=1)])
    assert findings(begun) == {health.FEW: "1 of 7"}


def test_gradients_explode_where_the_last_three_are_ten_times_what_was_before_the_last_four():
    random, found = np.random.default_rng(0), []
    for lines in range(8, 40):
        norms = np.exp(2 * random.standard_normal(lines)) * np.r_[np.ones(lines - 4), np.full(4, 10)]
        norms[random.random(lines) < 0.1] = np.inf  # as of a step that fp16 skipped
        known = norms[np.isfinite(norms)]
        now, usual = np.median(known[-3:]), np.median(known[:-4])
        expected = {health.EXPLODED: f"norm {now:.3g}, {now / usual:.0f} times the usual"} if now > 10 * usual else {}
        assert health._gradients(pd.DataFrame({"grad_norm": norms})) == expected
        found.append(bool(expected))
    assert 8 < sum(found) < 24


def test_the_fall_that_is_said_is_the_newest():
    assert findings(history(psnr_y=thin(30.0, 25.0, 24.0, 23.0))) == {health.FALLEN: "7.0 dB below its best"}

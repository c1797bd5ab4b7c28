"""The exercises: answers of every kind are taken, usual mistakes are named, and no answer is printed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from srkit.course.exercises import OPEN, Unsolved, check, exercises
from srkit.course.tasks import TASKS
from srkit.course.trials import fault
from srkit.losses import gradient_penalty
from srkit.profiles import find_profile, fit
from srkit.recipes import find_recipe

MISTAKES = [(name, mistake) for name, task in TASKS.items() for mistake in task.mistakes]
PLAIN = [name for name, exercise in exercises().items() if exercise.right is not None]


@pytest.mark.parametrize(
    "answer", [0.88, np.float32(0.88), torch.tensor(0.88), torch.tensor([0.8808]), np.array(0.881), np.array([0.88])]
)
def test_a_number_is_taken_from_any_library(answer, capsys):
    check("judged_photograph", answer)
    assert capsys.readouterr().out.startswith("Right: ")


def test_words_are_taken_in_any_case_and_shapes_as_lists_or_tuples():
    for answer in ("c", " C ", np.str_("C")):
        check("leak", answer)
    for shape in ((1, 10, 24, 24), [1, 10, 24, 24], torch.Size([1, 10, 24, 24]), torch.tensor([1, 10, 24, 24])):
        check("shuffled_shape", shape)
    check("who_is_who", "hbbhbh", "HBBHBH")


@pytest.mark.parametrize(("name", "answer"), [("cosine_rate", 2.9e-5), ("five_levels", 34.2), ("halved_error", 3.0)])
def test_a_number_may_be_rounded_as_the_check_itself_rounds_it(name, answer, capsys):
    check(name, answer)
    assert capsys.readouterr().out.startswith("Right: ")


@pytest.mark.parametrize("answer", [0.12, "0.88", True, None, float("nan"), [0.88, 0.88], object(), torch.rand(3)])
def test_another_answer_raises_a_hint_without_the_answer(answer, capsys):
    with pytest.raises(Unsolved, match="Not yet. Put z = 2 into the Sigmoid") as caught:
        check("judged_photograph", answer)
    assert "0.88" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", PLAIN)
def test_no_hint_gives_the_answer_away(name, capsys):
    exercise = exercises()[name]
    for wrong in (..., -1, "none of them", [0, 0, 0, 0]):
        with pytest.raises(Unsolved) as caught:
            check(name, wrong)
        said = str(caught.value).replace("(1 - alpha)", "")
        right = exercise.right if isinstance(exercise.right, list) else [exercise.right]
        words = {f" {part:g}" if isinstance(part, int | float) else part for part in right}
        if name not in (
            "l1_prefers",
            "most_parameters",
            "leak",
            "comparable",
        ):  # the answer is one word of the question
            assert not any(f"{word}." in said or f"{word} " in said for word in words), said
    assert capsys.readouterr().out == ""


def test_a_guess_at_the_crops_is_not_told_the_truth(capsys):
    with pytest.raises(Unsolved) as caught:
        check("who_is_who", "HHHHHH", "HBBHBH")
    assert "HBBHBH" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_numbers_of_the_recipes_are_those_that_the_exercises_expect():
    system = fit(find_recipe("srgan"), find_profile("laptop"))
    check("crops_seen", system.phases[0].steps * system.batch)


@pytest.mark.parametrize("name", TASKS)
def test_the_right_way_passes_and_an_open_one_does_not(name, capsys):
    check(name, TASKS[name].right)
    assert capsys.readouterr().out == f"Right: {exercises()[name].why}\n"
    for still_open in (..., lambda *_: ..., lambda *_: ... + 1):
        with pytest.raises(Unsolved, match=OPEN):
            check(name, still_open)
    with pytest.raises(Unsolved, match="Not yet. A function is asked for"):
        check(name, 7)


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_a_usual_mistake_gets_the_hint_that_names_it(name, mistake):
    with pytest.raises(Unsolved) as caught:
        check(name, TASKS[name].mistakes[mistake])
    assert str(caught.value) == f"Not yet. {exercises()[name].mistakes[mistake]}"


def test_every_mistake_has_a_hint_and_every_function_an_exercise():
    assert {name: set(task.mistakes) for name, task in TASKS.items()} == {
        name: set(one.mistakes) for name, one in exercises().items() if one.right is None and name != "who_is_who"
    }


def test_an_error_of_the_students_own_is_shown_as_it_is():
    with pytest.raises(ZeroDivisionError):
        check("side_after", lambda side, layers: side / 0)
    with pytest.raises(ValueError, match="the function returns nothing: it has to end with return"):
        check("side_after", lambda side, layers: None)


def test_a_wrong_number_and_a_wrong_shape_are_told_apart():
    assert fault(TASKS["unshuffle"], lambda x, r: 0 * F.pixel_unshuffle(x, r)) == "It runs, but gives other numbers."
    assert fault(TASKS["unshuffle"], lambda x, r: x) == "It runs, but gives another shape."


def test_checking_leaves_the_random_numbers_of_the_notebook_alone():
    torch.manual_seed(1)
    before = torch.rand(3)
    torch.manual_seed(1)
    check("edsr_block", TASKS["edsr_block"].right)
    assert torch.equal(torch.rand(3), before)


# Right ways that the tasks write out themselves, against another way to the same.


def test_the_right_gan_step_is_that_of_gradients_asked_for_one_by_one():
    def by_autograd(generator, discriminator, g_optimiser, d_optimiser, lr, hr, weight):
        sr, rate = generator(lr), g_optimiser.param_groups[0]["lr"]
        loss = F.mse_loss(sr, hr) - weight * F.logsigmoid(discriminator(sr)).mean()
        moves = torch.autograd.grad(loss, [*generator.parameters()])
        g_optimiser.step()  # of no gradients: it marks the end of the generator's half
        d_hr, d_sr = torch.sigmoid(discriminator(hr)), torch.sigmoid(discriminator(sr.detach()))
        moves += torch.autograd.grad(-d_hr.log().mean() - (1 - d_sr).log().mean(), [*discriminator.parameters()])
        for weights, move in zip([*generator.parameters(), *discriminator.parameters()], moves, strict=True):
            weights.data -= rate * move

    assert fault(TASKS["gan_step"], by_autograd) == ""


def test_the_right_gradient_penalty_is_that_on_paper_and_srkits():
    def on_paper(critic, hr, sr, mix):  # of softplus the slope is the Sigmoid
        _, first, _, last = critic
        slopes = (torch.sigmoid(first((mix * hr + (1 - mix) * sr).flatten(1))) * last.weight) @ first.weight
        return (slopes.square().sum(1).sqrt() - 1).square().mean()

    assert fault(TASKS["penalty"], on_paper) == ""
    hr, sr, critic = torch.rand(4, 3, 4, 4), torch.rand(4, 3, 4, 4), nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    mix = torch.rand(4, 1, 1, 1)  # a linear critic has one slope everywhere
    torch.testing.assert_close(TASKS["penalty"].right(critic, hr, sr, mix), gradient_penalty(critic, hr, sr))


def test_the_right_interval_is_near_the_normal_one():
    a, b, rng = TASKS["gain_interval"].inputs()
    gains = a - b
    normal = stats.norm.interval(0.95, gains.mean(), gains.std() / len(gains) ** 0.5)
    np.testing.assert_allclose(TASKS["gain_interval"].right(a, b, rng), normal, atol=0.15)


def test_the_right_loss_is_finite_where_the_formula_is_not():
    z_hr, z_sr, smooth = torch.tensor([[-200.0]]), torch.tensor([[200.0]]), 0.1
    by_hand = 0.9 * 200 + 200  # softplus(200) = 200 and softplus(-200) = 0
    assert float(TASKS["smoothed_loss"].right(z_hr, z_sr, smooth)) == pytest.approx(by_hand)


def test_the_right_sensor_has_the_variance_of_counts():
    x, peak, random = TASKS["count_photons"].inputs()
    mean, deviation, *_ = TASKS["count_photons"].outcome(TASKS["count_photons"].right, x, peak, random)
    levels = torch.tensor([0.2, 0.4, 0.6])  # at 0.8 white cuts off some of it
    torch.testing.assert_close(mean[:3], 255 * levels, rtol=0, atol=0.5)
    torch.testing.assert_close(deviation[:3], 255 * (levels / peak).sqrt(), rtol=0.02, atol=0)


def test_the_right_blockiness_is_that_of_whole_arrays():
    (grey,) = TASKS["blockiness"].inputs()
    down, across = (np.abs(np.diff(grey.astype(float), axis=axis)) for axis in (0, 1))
    total, count = down.sum() + across.sum(), down.size + across.size
    border = down[7::8].sum() + across[:, 7::8].sum()
    crossing = down[7::8].size + across[:, 7::8].size
    expected = (border / crossing) / ((total - border) / (count - crossing))
    assert TASKS["blockiness"].right(grey) == pytest.approx(expected)

"""Checks of the notebooks' exercises: each says whether the answer is right, and why, or gives a hint."""

from math import log, log10

from srkit.profiles import find_profile, fit
from srkit.recipes import find_recipe


def judge(answer: object, right: object, why: str, hint: str) -> None:
    """Print "not answered yet" for `...`, the reason for a right answer, a hint for a wrong one."""
    if answer is ...:
        print("Not answered yet: replace the ... and run the cell again.")
    else:
        print(f"Right: {why}" if answer == right else f"Not yet. {hint}")


def near(answer: object, right: float, within: float) -> object:
    """`right` where the answer is a number that close to it, else the answer as it is: for judge."""
    return right if isinstance(answer, int | float) and abs(answer - right) <= within else answer


def undecided_discriminator(answer: float) -> None:
    right = 2 * log(2)
    why = "-log 0.5 - log 0.5 = 2 log 2, about 1.386. A discriminator's loss that stays there learns nothing."
    judge(near(answer, right, 0.005), right, why, "Put 0.5 in both places and take the natural logarithm.")


def checkpoint(answer: set[str]) -> None:
    why = "weights, Adam's means and the step; batch and learning rate follow from the step. The history is for us."
    hint = "Go through the loop of section 1: on what does a step depend, and what changes from step to step?"
    judge(set(answer) if isinstance(answer, list | tuple) else answer, {"generator", "optimiser", "step"}, why, hint)


def psnr_after_gan(answer: str) -> None:
    why = "nothing in the second phase asks for PSNR, which prefers the blurred mean of all that is likely (04_losses)."
    judge(answer, "no", why, "Which loss of the second phase would be lowest at the highest PSNR?")


def halved_error(answer: float) -> None:
    right = 10 * log10(2)
    why = "10 log10 2 = 3.01 dB, whatever the PSNR was before."
    judge(
        near(answer, right, 0.02), right, why, "PSNR is 10 log10(255^2 / MSE): what does MSE / 2 add to the logarithm?"
    )


def five_levels(answer: float) -> None:
    right = 20 * log10(255 / 5)
    why = "MSE is 25, so 20 log10(255 / 5) = 34.15 dB: more than most networks reach, on a picture no eye would fault."
    judge(near(answer, right, 0.02), right, why, "Every pixel is off by 5, so the mean squared error is 5^2.")


def comparable(answer: str) -> None:
    why = "one set, one scale, one protocol. The others change what is measured, and the method last of all."
    hint = "Which row keeps everything but the method?"
    judge(answer, "C", why, hint)


def pixels_for_one(answer: float) -> None:
    why = "4 x 4. Fifteen of sixteen have to be made up, so there are many SR pictures that fit one LR picture."
    judge(answer, 16, why, "Four times as wide, and four times as high.")


def crops_seen(answer: float, recipe: str) -> None:
    fitted = fit(find_recipe(recipe), find_profile("laptop"))
    steps, batch = fitted.phases[0].steps, fitted.batch
    why = f"{steps:,} steps of {batch} crops. A few photographs are enough for so many, since each crop is cut anew."
    judge(answer, steps * batch, why, "Multiply the steps of the first phase by the batch.")


def twenty_decibels(answer: float) -> None:
    why = "10 log10 100 = 20. PSNR is a logarithm: each 10 dB is a factor of ten."
    judge(answer, 100, why, "Solve 10 log10 f = 20 for f.")


def crop_places(answer: float) -> None:
    why = "LR is 32 x 32 and its crop 24 x 24: 9 places each way, the last one included, so 81."
    judge(answer, 81, why, "Count in LR pixels: 128 / 4 and 96 / 4. Five positions hold a crop of 2 in a row of 6.")


def stripes(answer: float) -> None:
    why = "grey, the mean: the stripes are too fine for the LR grid, so only their brightness is left."
    judge(near(answer, 0.5, 0.01), 0.5, why, "The widened curve covers eight white and eight black columns.")


def leak(answer: str) -> None:
    why = "different photographs of different places. In A neighbouring frames show one scene; in B crops overlap."
    judge(answer, "C", why, "What do frame 900 and frame 901 show? And two crops of one photograph?")


def who_is_who(answer: object, truth: str) -> None:
    hits = None if answer is ... else sum(a == b for a, b in zip(str(answer).upper(), truth, strict=False))
    why = "all of them. The discriminator has to learn what you saw at once."
    hint = f"{hits} of {len(truth)} are right; look at hair, edges and grain. The truth is {truth}."
    judge(answer if answer is ... else hits, len(truth), why, hint)


def most_parameters(answer: object) -> None:
    why = "512 x 6 x 6 x 1024 weights in the first dense layer alone, four times all the convolutions together."
    hint = (
        "A 3x3 convolution has 9 x inputs x outputs weights; the dense layer one for each of 512 x 6 x 6 x 1024 pairs."
    )
    judge(answer, "dense", why, hint)


def judged_photograph(answer: float) -> None:
    why = "1 / (1 + exp(-2)) = 0.88: an SR picture that this discriminator takes for a photograph."
    judge(near(answer, 0.8808, 0.006), 0.8808, why, "Put z = 2 into the Sigmoid, 1 / (1 + exp(-z)).")


def l1_prefers(answer: object) -> None:
    why = "at each pixel half of the truths lie on either side, so a step either way is paid for by as many as gain."
    hint = "Take one pixel that is 0 in one truth and 1 in two. Where is |x - 0| + |x - 1| + |x - 1| least?"
    judge(answer, "median", why, hint)


def gradient_ratio(answer: float) -> None:
    why = "(1 - D) / D = exp(-z), and exp(6) is 403: where the generator is worst, it hears 403 times as much."
    judge(near(answer, 403.43, 4), 403.43, why, "Divide 1 - D by D, with D = 1 / (1 + exp(-z)), and put in z = -6.")


def conv_parameters(answer: float) -> None:
    why = "9 x 64 x 64 weights and 64 biases. Before a batch norm the bias is left out, since the norm takes it away."
    judge(answer, 36_928, why, "Each of 64 outputs has 3 x 3 weights for each of 64 inputs, and one bias.")


def five_convolutions(answer: float) -> None:
    why = "1 + 5 x 2: each adds one pixel on either side."
    judge(answer, 11, why, "One convolution sees 3. What does the second add?")


def shuffled_shape(answer: tuple) -> None:
    why = "nine channels become one square of 3 x 3 pixels; no number is lost: 90 x 64 = 10 x 576."
    answer = tuple(answer) if isinstance(answer, list | tuple) else answer
    judge(answer, (1, 10, 24, 24), why, "Channels are divided by 9; height and width are multiplied by 3.")


def mixed_weight(answer: float) -> None:
    why = "0.75 x 2 + 0.25 x 6 = 3: a quarter of the way from the PSNR network to the GAN."
    judge(near(answer, 3, 0.001), 3, why, "Put both weights into (1 - alpha) PSNR + alpha GAN.")


def sr_megapixels(answer: float) -> None:
    why = "2000 x 1500 pixels. Time grows with the pixels, so half the side takes a quarter of it."
    judge(near(answer, 3, 0.001), 3, why, "Four times as wide and four times as high; a megapixel is a million pixels.")

"""Is the training healthy? The run's history in words: what looks ill, and what to try."""

import math

import pandas as pd

WINDOW = 7  # the newest logged lines, which a finding is about
LITTLE, MUCH = 0.03, 0.95  # shares of the gradient at SR between which a loss has its say
GAP = 0.8  # of D(HR) - D(SR), beyond which the two pictures are told apart whatever the generator does
RASTER_RATIO = 1.5  # of the grid to bicubic's; sound networks are below 1.3

WON, IGNORED, APART = "D has won", "G ignores D", "D tells SR and HR apart"
NO_SAY, ALONE, RASTER = "a loss has no say", "a loss decides alone", "a raster"
DRIFT, EXPLODED, FALLEN, FEW = "colours drift", "gradients explode", "PSNR-Y falls", "too few lines to tell"
STALLED = "fp16 stalls"
TRY = {
    WON: "lower the discriminator's rate (Phase.d_lr), give it fewer channels, or the generator a longer first phase",
    IGNORED: "raise the weight of the adversarial loss, or lower that of the others (Phase.losses)",
    APART: "lower the discriminator's rate (Phase.d_lr), or give the generator a longer first phase (Phase.steps)",
    NO_SAY: "raise its weight, or lower that of the others (Phase.losses)",
    ALONE: "lower its weight, or raise that of the others (Phase.losses)",
    RASTER: "add Checkerboard() to Phase.losses or raise its weight, or lower the weight of the perceptual loss",
    DRIFT: "add a pixel loss with a small weight, or look whether LR and HR show the same range",
    EXPLODED: "lower the learning rate (Phase.lr), or clip the gradient (Phase(clip=1.0))",
    STALLED: "go on with --resume --precision bf16, or fp32",
    FALLEN: "lower the learning rate, raise the weight of the pixel loss, or take the weights of the phase before",
    FEW: "train longer, or log more often (Profile.log_every)",
}


def findings(history: pd.DataFrame) -> dict[str, str]:
    """What looks ill in the newest lines of a run's history: name and what was seen. Empty where nothing does.

    Only the phase that the run is in is looked at; where it has less than WINDOW logged lines, that is what is said.
    """
    phase = history[history["phase"] == history["phase"].iloc[-1]] if len(history) else history
    if len(phase) < WINDOW:
        return {FEW: f"{len(phase)} of {WINDOW}"}
    looks = (_verdicts, _gap, _shares, _raster, _colours, _stalled, _gradients, _validation)
    found = {name: said for look in looks for name, said in look(phase).items()}
    return {name: said for name, said in found.items() if name != APART or WON not in found}  # WON says it already


def in_words(history: pd.DataFrame) -> str:
    """A line for each finding, with what to try; or that all is well."""
    found = findings(history)
    if not found:
        return "Health: nothing looks ill in the newest lines of the history."
    return "\n".join(f"Health: {name} ({said}). Try this: {TRY[name]}." for name, said in found.items())


def _verdicts(phase: pd.DataFrame) -> dict[str, str]:
    """Of a discriminator whose answers are probabilities; a Wasserstein critic's scores say neither."""
    lines = phase.reindex(columns=["d_hr", "d_sr", "discriminator", "adversarial"]).dropna()
    if len(lines) < WINDOW or not lines[["d_hr", "d_sr"]].stack().between(0, 1).all() or (lines < 0).any(axis=None):
        return {}
    now, before = lines.tail(WINDOW).mean(), lines.head(-WINDOW).tail(WINDOW).mean()
    if now["d_sr"] < 0.05 and now["discriminator"] < 0.1:
        return {WON: f"D(SR) {now['d_sr']:.3f}, its loss {now['discriminator']:.3f}"}
    kept_low = now["d_sr"] < 0.2 and before["d_sr"] < 0.2 and now["adversarial"] >= before["adversarial"]
    if kept_low:  # false where there is no window before
        return {IGNORED: f"D(SR) stays at {now['d_sr']:.2f} while the adversarial loss does not fall"}
    return {}


def _gap(phase: pd.DataFrame) -> dict[str, str]:
    """The discriminator is sure of every picture through the whole window."""
    lines = phase.reindex(columns=["d_hr", "d_sr"]).dropna().tail(WINDOW)
    if len(lines) < WINDOW or not lines.stack().between(0, 1).all():
        return {}
    least = (lines["d_hr"] - lines["d_sr"]).min()
    return {APART: f"D(HR) - D(SR) is {least:.2f} or more"} if least > GAP else {}


def _shares(phase: pd.DataFrame) -> dict[str, str]:
    """Shares of the gradient at SR, where there are two losses or more; a guard may well be silent."""
    lines = phase.filter(regex="^share_").dropna(axis="columns", how="all").dropna().tail(WINDOW)
    if len(lines) < WINDOW or lines.shape[1] < 2:
        return {}
    mean = lines.mean().rename(lambda name: name.removeprefix("share_"))
    little, much = mean[(mean < LITTLE) & (mean.index != "checkerboard")], mean[mean > MUCH]
    said = {NO_SAY: little, ALONE: much}
    return {
        word: ", ".join(f"{name} {share:.1%} of the gradient" for name, share in found.items())
        for word, found in said.items()
        if len(found)
    }


def _raster(phase: pd.DataFrame) -> dict[str, str]:
    """The newest validation's grid beside bicubic's on the same pictures, in grey levels."""
    lines = phase.reindex(columns=["grid", "grid_bicubic"]).dropna().tail(1)
    if lines.empty or not (lines["grid"] > RASTER_RATIO * lines["grid_bicubic"]).iloc[0]:
        return {}
    return {RASTER: "grid {:.2f}, bicubic {:.2f} grey levels".format(*lines.iloc[0])}


def _colours(phase: pd.DataFrame) -> dict[str, str]:
    """Mean SR - HR of each colour: beyond 5 of 255 grey levels, and beyond what differs from batch to batch."""
    drift = 255 * phase.reindex(columns=["red", "green", "blue"]).dropna().tail(WINDOW)
    mean, error = drift.mean(), drift.std() / max(1, len(drift)) ** 0.5
    far = mean[(mean.abs() > 5) & (mean.abs() > 3 * error)]
    return {DRIFT: ", ".join(f"{name} {by:+.0f}" for name, by in far.items()) + " of 255"} if len(far) else {}


def _stalled(phase: pd.DataFrame) -> dict[str, str]:
    """Steps that fp16 skips, since a gradient is beyond its range, have an infinite norm in the history."""
    norms = phase.reindex(columns=["grad_norm", "d_grad_norm"]).tail(WINDOW)
    skipped = int((norms == math.inf).any(axis=1).sum())
    return {STALLED: f"{skipped} of {WINDOW} logged steps were skipped"} if 2 * skipped > WINDOW else {}


def _gradients(phase: pd.DataFrame) -> dict[str, str]:
    norms = phase["grad_norm"].replace(math.inf, math.nan).dropna()
    now, usual = norms.tail(WINDOW // 2).median(), norms.head(-WINDOW // 2).median()
    return {EXPLODED: f"norm {now:.3g}, {now / usual:.0f} times the usual"} if now > 10 * usual else {}


def _validation(phase: pd.DataFrame) -> dict[str, str]:
    """For the pixel loss, half a dB below the best three times; the second phase is expected to cost up to 4 dB."""
    psnr = phase["psnr_y"].dropna()
    most = 4.0 if phase["phase"].iloc[-1] == "gan" else 0.5
    fallen = psnr.max() - psnr.tail(3)
    return {FALLEN: f"{fallen.iloc[-1]:.1f} dB below its best"} if len(psnr) > 3 and fallen.min() > most else {}

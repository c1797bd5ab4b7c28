"""Is the training healthy? The run's history in words: what looks ill, and what to try."""

import pandas as pd

WINDOW = 10  # the newest logged lines, which a finding is about
WON, IGNORED, DRIFT, EXPLODED, FALLEN = "D has won", "G ignores D", "colours drift", "gradients explode", "PSNR-Y falls"
TRY = {
    WON: "give the generator a longer first phase, or the discriminator a lower learning rate or fewer channels",
    IGNORED: "raise the weight of the adversarial loss, or lower that of the others",
    DRIFT: "add a pixel loss with a small weight, or look whether LR and HR show the same range",
    EXPLODED: "lower the learning rate, or clip the gradient (Phase(clip=1.0))",
    FALLEN: "lower the learning rate, raise the weight of the pixel loss, or take the weights of the phase before",
}


def findings(history: pd.DataFrame) -> dict[str, str]:
    """What looks ill in the newest lines of a run's history: name and what was seen. Empty where nothing does.

    Only the phase that the run is in is looked at, and not before it has WINDOW logged lines.
    """
    phase = history[history["phase"] == history["phase"].iloc[-1]] if len(history) else history
    if len(phase) < WINDOW:
        return {}
    seen = (_verdicts(phase), _colours(phase), _gradients(phase), _validation(phase))
    return {name: said for found in seen for name, said in found.items()}


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


def _colours(phase: pd.DataFrame) -> dict[str, str]:
    """Mean SR - HR of each colour: beyond 5 of 255 grey levels, and beyond what differs from batch to batch."""
    drift = 255 * phase.reindex(columns=["red", "green", "blue"]).dropna().tail(WINDOW)
    mean, error = drift.mean(), drift.std() / max(1, len(drift)) ** 0.5
    far = mean[(mean.abs() > 5) & (mean.abs() > 3 * error)]
    return {DRIFT: ", ".join(f"{name} {by:+.0f}" for name, by in far.items()) + " of 255"} if len(far) else {}


def _gradients(phase: pd.DataFrame) -> dict[str, str]:
    norms = phase["grad_norm"].dropna()
    now, usual = norms.tail(WINDOW // 2).median(), norms.head(-WINDOW // 2).median()
    return {EXPLODED: f"norm {now:.3g}, {now / usual:.0f} times the usual"} if now > 10 * usual else {}


def _validation(phase: pd.DataFrame) -> dict[str, str]:
    """For the pixel loss, half a dB below the best three times; the second phase is expected to cost up to 4 dB."""
    psnr = phase["psnr_y"].dropna()
    most = 4.0 if phase["phase"].iloc[-1] == "gan" else 0.5
    fallen = psnr.max() - psnr.tail(3)
    return {FALLEN: f"{fallen.iloc[-1]:.1f} dB below its best"} if len(psnr) > 3 and fallen.min() > most else {}

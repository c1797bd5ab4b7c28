"""A blind study of mean opinion scores: crops rated one at a time, every vote kept at once, then MOS with intervals."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from srkit.csv_log import CsvLog
from srkit.files import SrkitError
from srkit.tables import interval

GRADES = {5: "excellent", 4: "good", 3: "fair", 2: "poor", 1: "bad"}  # ITU-R BT.500, absolute category rating
COLUMNS = ["rater", "image", "method", "score"]
REFERENCE = "HR"


class Study:
    """Crops of one size, by (image, method), to be rated blind; the truth is hidden among them as method "HR".

    Each rater sees them in an order of their own, which the seed and the name decide. Votes go to a CSV file, a line
    each, as soon as they are given; whoever comes back goes on behind the last one.
    """

    def __init__(self, crops: Mapping[tuple[str, str], np.ndarray], path: Path, rater: str = "me", seed: int = 0):
        if not any(method == REFERENCE for _, method in crops):
            raise SrkitError(f"the study has no hidden reference: add each image's true crop as method {REFERENCE}.")
        self.crops, self.rater = dict(crops), rater
        self.log = vote_log(path)
        order = np.random.default_rng([seed, *rater.encode()]).permutation(len(crops))
        self.order = [list(crops)[place] for place in order]
        self.log.rewrite(lambda votes: votes)  # without a line that was cut off

    def votes(self) -> pd.DataFrame:
        """All votes of all raters: rater, image, method, score."""
        return self.log.read()

    def left(self) -> list[tuple[str, str]]:
        """What this rater has not rated yet, in order."""
        votes = self.votes()
        rated = set(votes.loc[votes["rater"] == self.rater, ["image", "method"]].itertuples(index=False, name=None))
        return [trial for trial in self.order if trial not in rated]

    def vote(self, score: int) -> None:
        """Rate the crop that is next, 1 to 5, and write it down."""
        if score not in GRADES:
            raise SrkitError(f"{score} is no grade: choose 1 (bad) to 5 (excellent).")
        for image, method in self.left()[:1]:
            self.log.append({"rater": self.rater, "image": image, "method": method, "score": score})

    def widget(self, zoom: int = 3) -> Any:
        """The rating page: one crop without its name, `zoom` times as large in squares, five buttons, a bar."""
        import ipywidgets

        height, width = (side * zoom for side in next(iter(self.crops.values())).shape[:2])
        exact = ipywidgets.Layout(width=f"{width}px", height=f"{height}px", align_self="flex-start")  # never stretched
        crop, said = ipywidgets.Image(format="png", layout=exact), ipywidgets.Label()
        bar = ipywidgets.IntProgress(max=len(self.order), description="rated")
        buttons = [ipywidgets.Button(description=f"{score} {word}") for score, word in GRADES.items()]

        def show() -> None:
            left = self.left()
            bar.value = len(self.order) - len(left)
            for button in buttons:
                button.disabled = not left
            said.value = "How good is this picture?" if left else f"All {len(self.order)} are rated: thank you."
            if left:
                picture, file = self.crops[left[0]].repeat(zoom, axis=0).repeat(zoom, axis=1), BytesIO()
                Image.fromarray(picture).save(file, "png")
                crop.value = file.getvalue()

        def rate(button: Any) -> None:
            self.vote(int(button.description[0]))
            show()

        for button in buttons:
            button.on_click(rate)
        show()
        return ipywidgets.VBox([crop, said, ipywidgets.HBox(buttons), bar])


def vote_log(path: Path | str) -> CsvLog:
    """The CSV file of votes, to read or to add to."""
    return CsvLog(path, COLUMNS, words=COLUMNS[:3], kind="table of votes")


def opinions(votes: pd.DataFrame) -> pd.DataFrame:
    """MOS by method, best first: method, votes, mos, low and high (95 % bootstrap over the votes), against_hr.

    against_hr: MOS less the hidden reference's, plus 5 (ITU-T P.910): 5 is as good as the truth.
    """
    by_method = votes.groupby("method", sort=False)["score"]
    table = by_method.agg(votes="size", mos="mean", ends=interval).reset_index()
    table[["low", "high"]] = table.pop("ends").tolist()
    reference = table.loc[table["method"] == REFERENCE, "mos"].mean()
    return table.assign(against_hr=table["mos"] - reference + 5).sort_values("mos", ascending=False, ignore_index=True)


def correlations(votes: pd.DataFrame, scores: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """How well scores foretell opinions, over every crop but the references: metric, crops, pearson, spearman.

    scores: a row an image and method, as `evaluate` gives it, of the very crops that were rated.
    """
    mean = votes.groupby(["image", "method"], as_index=False)["score"].mean()
    both = mean[mean["method"] != REFERENCE].merge(scores, on=["image", "method"])
    scored = both[[*columns]]
    found = {kind: scored.corrwith(both["score"], method=kind) for kind in ("pearson", "spearman")}
    return pd.DataFrame({"crops": scored.count(), **found}).rename_axis("metric").reset_index()


def invented_votes(scores: pd.DataFrame, column: str = "ssim_y", raters: int = 8, seed: int = 0) -> pd.DataFrame:
    """SYNTHETIC votes, to see the analysis before anybody was asked: nobody's opinion, and never a result.

    Grades fall from HR's 4.7 with the distance of `column` from its best, with a spread as among people.
    """
    random = np.random.default_rng(seed)
    worse = scores[column].max() - scores[column]
    grade = 4.2 - 2.7 * worse / max(worse.max(), 1e-9)
    truths = scores[["image"]].drop_duplicates().assign(method=REFERENCE, grade=4.7)
    trials = pd.concat([scores[["image", "method"]].assign(grade=grade), truths])
    votes = [trials.assign(rater=f"synthetic {n + 1}", noise=random.normal(0, 0.7, len(trials))) for n in range(raters)]
    votes = pd.concat(votes, ignore_index=True)
    return votes.assign(score=(votes["grade"] + votes["noise"]).round().clip(1, 5).astype(int))[COLUMNS]

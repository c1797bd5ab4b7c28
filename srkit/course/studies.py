"""What the notebooks show of real trainings: studies, by the records that lie in figures/."""

import base64
import re
from io import BytesIO
from pathlib import Path

import pandas as pd
from IPython.display import HTML, display
from nbconvert.filters.markdown import markdown2html
from pandas.io.formats.style import Styler
from PIL import Image

from srkit.paths import home, inputs
from srkit.study.figures import alone, draw_crops, draw_curves, groups
from srkit.study.record import Record, read_record
from srkit.study.tables import last_phases, made
from srkit.tables import p_as_text


def _find_record(name: str, group: str = "") -> Record | None:
    """The record of a study, with a group where one is asked for: of the project, or attached to a hosted notebook.

    Where there is none, how it is made is said, and the answer is None.
    """
    for folder in (home() / "figures" / name, *sorted(inputs().glob(f"**/figures/{name}"))):
        if (folder / "study.json").exists() and (not group or group in groups(read_record(folder))):
            return read_record(folder)
    print(f"The study {name} is not here: srkit study run studies/{name}.toml makes it, in hours.")
    return None


def show_group(group: str, study: str = "choices", curves: bool = False) -> Styler | None:
    """Draw what the variants of one group of a study made of one crop; return what each gained on its base, as a table.

    Both are results of real trainings: a line below the figure says of which. Where the record is not at hand, it says
    how it is made, and the answer is None. curves: draw how each got there in place of the crop.
    """
    record = _find_record(study, group)
    if not record:
        return None
    systems = groups(record)[group]
    if curves:
        _, _, text = draw_curves(record, systems)
    else:
        place = max(record.study["crops"], key=lambda place: _spread(record, systems, place["picture"]))
        _, _, text = draw_crops(record, systems, place)
    print(text, made(record, systems))
    table = gains(record, systems)
    wide = {"min-width": "12em", "text-align": "left"}  # on a phone the table scrolls, and its words stand together
    return table.style.hide().set_properties(subset=[name for name in table if name.startswith("what")], **wide)


def show_pages(study: str = "systems") -> None:
    """Display the page of each system of a study that has one, folded, with its history and its first crop."""
    record = _find_record(study)
    if not record:
        return
    first = record.study["crops"][0]["folder"]
    for system in alone(record):
        shown = {f"../{name}.png": name for name in (f"history-{system}", f"crops-of-{system}-{first}")}

        def picture(match: re.Match) -> str:
            return f"![{match[1]}]({_inline(record.folder / match[2][3:])})" if match[2] in shown else ""  # noqa: B023

        text = (record.folder / "pages" / f"{system}.md").read_text(encoding="utf-8").partition("\n")[2]
        page = re.sub(r"!\[(.*?)\]\((.*?)\)", picture, text)
        display(HTML(f"<details><summary><b>{system}</b></summary>{markdown2html(page)}</details>"))


def picture_scores(systems: list[str], test: str = "BSD100", study: str = "systems") -> pd.DataFrame | None:
    """Scores of bicubic and some systems of a study on each picture of a test set, as `evaluate` returns them.

    A method is a system's last phase and a seed. None, and how it is made is said, where the record is not at hand.
    """
    record = _find_record(study)
    if not record:
        return None
    rows = record.common()
    tasks = rows[rows["system"].isin(systems)]["task"].unique()
    rows = rows[(rows["set"] == test) & rows["task"].isin(tasks) & rows["system"].isin(["bicubic", *systems])]
    rows = last_phases(rows)
    methods = rows["system"] + (", seed " + rows["seed"].astype(str)).where(rows["system"] != "bicubic", "")
    return rows.assign(method=methods, scale=rows["task"].str[1].astype(int)).reset_index(drop=True)


def study_history(system: str, seed: int = 0, study: str = "systems") -> pd.DataFrame | None:
    """The history of one run of a study; None, and how it is made is said, where the record is not at hand."""
    record = _find_record(study)
    if not record:
        return None
    rows = record.histories[(record.histories["system"] == system) & (record.histories["seed"] == seed)]
    return rows.drop(columns=["system", "seed"]).reset_index(drop=True)


def _inline(path: Path, width: int = 900) -> str:
    """A PNG file made smaller, as an address that holds it."""
    held = BytesIO()
    with Image.open(path) as picture:
        picture.thumbnail((width, 2 * width))
        picture.save(held, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def gains(record: Record, systems: list[str]) -> pd.DataFrame:
    """What each system's last phase scored, and gained on its base, on the test set with the most pictures, as text.

    With a discriminator: the mean share of the adversarial term in the gradient at SR.
    """
    share = record.histories.groupby("system")["share_adversarial"].mean()
    table = pd.read_csv(record.folder / "common.csv", dtype={"system": str})
    table = table[table["system"].isin(systems)]
    name = table.loc[table["images"].idxmax(), "set"]
    lines = []
    for row in table[table["set"] == name].itertuples():
        about, spread = record.run(row.system)["recipe"]["about"], f" ± {row.psnr_y_std:.2f}" * (row.seeds > 1)
        line = {"variant": row.system, "what": about, "task": row.task, "seeds": row.seeds}
        line |= {"PSNR-Y (dB)": f"{row.psnr_y:.2f}{spread}", "gain (95 % interval)": "the base", "p": ""}
        if row.against in systems:
            ends = f"{row.psnr_y_gain_low:+.2f} to {row.psnr_y_gain_high:+.2f}"
            line |= {"gain (95 % interval)": f"{row.psnr_y_gain:+.2f} ({ends})", "p": p_as_text(row.psnr_y_p)}
        if share[systems].notna().any():
            line["adversarial share"] = f"{share[row.system]:.0%}" if share[row.system] > 0 else "–"
        lines.append(line | {"LPIPS (AlexNet)": f"{row.lpips:.3f}", "(SqueezeNet)": f"{row.lpips_squeeze:.3f}"})
    found = pd.DataFrame(lines).rename(columns={"what": f"what; {name}"})
    return found if found["task"].nunique() > 1 else found.drop(columns="task")


def _spread(record: Record, systems: list[str], picture: str) -> float:
    """How far the systems' LPIPS of a picture lie apart: where they differ most, there is most to see."""
    name, _, image = picture.partition("/")
    rows = record.common()
    rows = last_phases(rows[(rows["set"] == name) & (rows["image"] == image) & rows["system"].isin(systems)])
    return rows.groupby("system")["lpips"].mean().pipe(lambda means: means.max() - means.min())

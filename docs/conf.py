"""The site: Sphinx with myst-nb over the executed notebooks. `make site` builds it; no network is needed."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert.preprocessors import TagRemovePreprocessor
from nbgrader.preprocessors import ClearSolutions
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from srkit import __version__  # noqa: E402
from srkit.course.editions import assigned  # noqa: E402
from srkit.files import SrkitError, replacing, write_text  # noqa: E402

project, author, release = "srkit", "the authors of srkit", __version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["README.md", "_results.md"]
html_theme = "furo"
html_title = "srkit"
html_static_path = ["_static"]
html_extra_path = ["_extra"]  # the page without a server, which try_it() builds
html_css_files = ["srkit.css"]
html_show_copyright = False
html_copy_source = False
default_role = "literal"
nitpicky = True
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # they were executed by `srkit course`, which checks what they make
nb_ipywidgets_js = {}  # live widgets would be fetched from elsewhere, and need a kernel: their twins are shown
nb_render_image_options = {"align": "center"}

SLIDER = '<iframe class="slider" src="../_static/slider.html" title="Slider" loading="lazy"></iframe>'
WIDGET = "A live widget stands here where the notebook runs."


def notebooks() -> None:
    """The executed notebooks, or the source where there are none, without solutions and what is meant for teachers."""
    executed = Path(os.environ.get("SRKIT_EXECUTED", ROOT / "runs" / "course-smoke"))
    target = Path(__file__).parent / "notebooks"
    for source in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        ran = executed / source.name
        notebook = nbformat.read(ran if ran.exists() else source, as_version=4)
        notebook, _ = TagRemovePreprocessor(remove_cell_tags={"teacher", "injected-parameters"}).preprocess(
            notebook, {}
        )
        for one in assigned(notebook):
            one.answer.outputs, one.check.outputs = [], []
        stub = ClearSolutions(code_stub={"python": "# Your code here."}, text_stub="*Your answer.*")
        notebook, _ = stub.preprocess(notebook, {})
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.pop("outputs", None)
                cell.source = re.sub(r"\[!\[Open in.*?\n", "", cell.source + "\n").rstrip()  # badges lie elsewhere
                cell.source = re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./(?!docs/)[^)]+\)", r"\1", cell.source)  # to no page
                cell.source = cell.source.replace("](../docs/", "](../")  # as seen from docs/notebooks
            for output in cell.get("outputs", []):
                if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                    output.data = {"text/html": SLIDER} if source.stem.startswith("07") else {"text/plain": WIDGET}
        notebook.metadata.pop("widgets", None)
        target.mkdir(exist_ok=True)
        with replacing(target / source.name) as beside:
            nbformat.write(notebook, beside)


def sliders() -> None:
    """A slider that works in the page: a photograph of the starter set by the shipped networks."""
    from srkit.apps.slider import CompareSlider
    from srkit.data.sources import find_photographs
    from srkit.evaluation import enlarge, lr_of, super_resolve
    from srkit.figures import busiest
    from srkit.images import crop_at, read_image
    from srkit.pretrained import load

    target = Path(__file__).parent / "_static" / "slider.html"
    hr = read_image(find_photographs("starter").valid[0])
    hr = crop_at(hr, busiest(hr, 256, step=4), 256)
    lr = lr_of(hr, 4)
    pictures = {"bicubic": enlarge(lr, 4)}
    pictures |= {name: super_resolve(load(name, 4), lr) for name in ("srresnet_light", "srgan_light")}
    CompareSlider(pictures | {"HR": hr}, right=2).to_html(target, "Four times as large, by three methods")


def try_it() -> None:
    """The page without a server, and the site's page that leads to it, or says why it is not there.

    It takes a minute, since every network is exported: `make site` asks for it by SRKIT_TRY_IT=1.
    """
    from srkit.apps.static import build_static

    docs = Path(__file__).parent
    shutil.rmtree(docs / "_extra", ignore_errors=True)
    (docs / "_extra").mkdir()
    text = "# Try it\n\nEnlarge a picture of your own in this browser: it never leaves your device.\n\n"
    try:
        if os.environ.get("SRKIT_TRY_IT") != "1":
            raise SrkitError("SRKIT_TRY_IT=1 builds it.")
        build_static(docs / "_extra" / "try")
        text += '```{raw} html\n<p><a href="try/index.html">Open the page</a></p>\n```\n'
    except (SrkitError, ImportError) as error:
        shutil.rmtree(docs / "_extra" / "try", ignore_errors=True)
        print(f"The site is built without the page of Try it. {error}", file=sys.stderr)
        text += "The page was not built with this site: `srkit app --static DIR` writes it.\n"
    write_text(docs / "try.md", text)


def results() -> None:
    """The README's results, so that each number stands in one place; its links to files are left out."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Results\n")[1].split("\n## ")[0]
    section = section.replace("\n### ", "\n## ")  # below the page's own title
    with replacing(Path(__file__).parent / "_results.md") as beside:
        beside.write_text(re.sub(r"\[([^\]]+)\]\((?!http)[^)]+\)", r"\1", section), encoding="utf-8")


def studies() -> None:
    """Each study that figures/ keeps: its tables and figures, and a page for each system, as srkit study wrote them."""
    found = sorted((ROOT / "figures").glob("*/study.json"), reverse=True)
    target = Path(__file__).parent / "studies"
    shutil.rmtree(target, ignore_errors=True)
    index = ["# Studies", "", "What trainings under one protocol say, side by side. Each is made by one command."]
    index += ["", "```{toctree}", *(f"{study.parent.name}/index" for study in found), "```"]
    write_text(target / "index.md", "\n".join(index if found else [*index[:3], "", "None is scored yet."]) + "\n")
    for study in found:
        folder, said = study.parent, json.loads(study.read_text(encoding="utf-8"))
        pages = sorted(folder.glob("pages/*.md"), key=lambda page: said["systems"].index(page.stem))
        figures = [
            path.stem
            for kind in ("plane", "curves", "losses", "crops-")
            for path in sorted(folder.glob(f"{kind}*.png"))
        ]
        figures = [name for name in dict.fromkeys(figures) if not name.startswith("crops-of-")]
        parts = [f"# {said['name'].capitalize()}: {said['about']}\n"]
        parts += [f"\n    srkit study run studies/{said['name']}.toml\n"]
        parts += [f"\n{(folder / 'overview.md').read_text(encoding='utf-8')}"]
        for title, name in (("On the papers' bicubic LR", "common"), ("Each on its own task", "own"), ("Runs", "runs")):
            parts += [f"\n## {title}\n\n", (folder / f"{name}.md").read_text(encoding="utf-8")]
        parts += ["\n## Figures\n\n", *(f"![{name}](../{name}.png)\n\n" for name in figures)]
        parts += ["\n```{toctree}\n:caption: Systems\n", *(f"{page.stem}\n" for page in pages), "```\n"]
        texts = {"index": "".join(parts)} | {page.stem: page.read_text(encoding="utf-8") for page in pages}
        for name, text in texts.items():
            text = text.replace("](../", f"](../../../figures/{folder.name}/")
            write_text(target / folder.name / f"{name}.md", text)


def mathml(latex: str, block: bool) -> str:
    latex = re.sub(r"\\big[lr]\s*(?=\\)", "", latex)
    return convert(latex, display="block" if block else "inline")


def math_renderer(block: bool):
    """Formulas as MathML, which browsers draw by themselves."""

    def visit(self, node) -> None:
        from docutils.nodes import SkipNode

        self.body.append(
            f'<div class="math">{mathml(node.astext(), True)}</div>' if block else mathml(node.astext(), False)
        )
        raise SkipNode

    return visit, None


def plain(app, what, name, thing, options, lines: list[str]) -> None:
    """Docstrings are plain English and no markup: single backticks are code, and stars are stars."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            parts = re.split(r"(`[^`]+`)", line)
            parts = [f"`{part}`" if part.startswith("`") else re.sub(r"([*_|\\])", r"\\\1", part) for part in parts]
            lines[number] = "".join(parts).strip()


def setup(app: Sphinx) -> None:
    notebooks()
    sliders()
    try_it()
    results()
    studies()
    app.add_html_math_renderer("mathml", inline_renderers=math_renderer(False), block_renderers=math_renderer(True))
    app.connect("autodoc-process-docstring", plain)


html_math_renderer = "mathml"

"""Intervals and p against other libraries and counting by hand; the LaTeX compiles where there is a LaTeX."""

import re
import shutil
import subprocess
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from srkit.figures import save_figure
from srkit.files import SrkitError
from srkit.tables import (
    SHOWN,
    as_latex,
    holm_corrected,
    interval,
    latex,
    markdown,
    p_as_text,
    paired_test,
    paired_tests,
    results,
    scores_as_text,
    table_caption,
    tex,
    write_table,
    write_thesis,
)


def rows(count: int = 6, **gains: float) -> pd.DataFrame:
    random = np.random.default_rng(0)
    base = random.normal(28, 3, count)
    methods = {"bicubic": base} | {name: base + gain + random.normal(0, 0.05, count) for name, gain in gains.items()}
    return pd.concat(
        pd.DataFrame({"method": name, "set": "Set_6", "scale": 4, "image": [f"{i}.png" for i in range(count)]}).assign(
            psnr_y=psnr, ssim_y=psnr / 40, lpips=1 - psnr / 40
        )
        for name, psnr in methods.items()
    )


def test_the_interval_is_that_of_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).gamma(2, 3, 40)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2))
    np.testing.assert_allclose(interval(values), theirs.confidence_interval, atol=0.1)
    assert interval(values) == interval(values)


def test_of_one_picture_there_is_no_interval_and_of_two_it_is_the_two():
    assert np.isnan(interval([30.0])).all()
    assert interval([30.0, 31.0]) == (30, 31), (
        "of two, a quarter of the means is the lower one, and a quarter the upper"
    )


def test_p_is_the_share_of_signs_counted_by_hand():
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.25])
    means = [abs(np.mean(differences * signs)) for signs in product((1, -1), repeat=5)]
    expected = sum(mean >= abs(differences.mean()) - 1e-12 for mean in means) / 32
    assert paired_test(differences, np.zeros(5)) == expected
    assert paired_test([1, 2, 3, 4, 5], [0] * 5) == 2 / 32
    assert paired_test([3, 4], [3, 4]) == paired_test([5], [2]) == 1


def test_with_many_pictures_p_is_near_scipys():
    random = np.random.default_rng(3)
    ours, theirs = random.normal(0.15, 1, 60), random.normal(0, 0.2, 60)
    expected = stats.permutation_test(
        (ours, theirs), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20_000, rng=random
    ).pvalue
    assert paired_test(ours, theirs) == pytest.approx(expected, abs=0.02)


def test_what_is_no_number_has_no_interval_and_no_p_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(paired_test([np.inf, 30], [np.inf, 29]))
        assert np.isnan(paired_test([], []))
        assert np.isnan(interval([30, np.inf, 31])).all()
    assert [p_as_text(p) for p in (0.00099, 0.001, 0.0011, np.nan)] == ["<0.001", "0.001", "0.001", "–"]


def test_p_of_fifty_pictures_takes_little_memory_and_is_the_same_each_time():
    random = np.random.default_rng(4)
    differences = random.normal(0.2, 1, 50)
    assert paired_test(differences, np.zeros(50)) == paired_test(differences, np.zeros(50))
    assert paired_test(differences + 5, np.zeros(50)) == pytest.approx(1 / 10_001)


def test_holms_correction_by_hand():
    """4 x .01 = .04; 3 x .013 = .039 and 2 x .014 = .028 are raised to it; 1 x .19. NaN does not count."""
    np.testing.assert_allclose(holm_corrected([0.013, 0.01, 0.19, 0.014]), [0.04, 0.04, 0.19, 0.04])
    np.testing.assert_allclose(holm_corrected([0.6, 0.5, np.nan]), [1, 1, np.nan])
    np.testing.assert_allclose(holm_corrected([0.3, 0.2, np.nan]), [0.4, 0.4, np.nan])


def test_holm_never_promises_less_than_each_hypothesis_and_its_rivals_need():
    """By its definition as a closed test: p_i is the largest of every set's Bonferroni p that i is in."""
    random = np.random.default_rng(5)
    p = random.random(5) ** 3
    sets = [[i for i in range(5) if mask >> i & 1] for mask in range(1, 32)]
    closed = [max(min(1, len(s) * p[s].min()) for s in sets if i in s) for i in range(5)]
    np.testing.assert_allclose(holm_corrected(p), closed)


def test_several_seeds_of_one_picture_count_once():
    one = rows(8, ours=0.2)
    three = pd.concat([one.assign(psnr_y=one["psnr_y"] + 0.01 * seed, seed=seed) for seed in (-1, 0, 1)])
    columns = ["method", "images", "gain", "gain_low", "gain_high", "p", "p_holm"]
    pd.testing.assert_frame_equal(paired_tests(three)[columns], paired_tests(one)[columns])
    with pytest.raises(SrkitError, match="nothing stands beside nearest: the rows hold bicubic, ours"):
        paired_tests(one, "nearest")


def test_a_picture_without_a_rival_is_no_pair():
    table = paired_tests(rows(6, ours=0.5).iloc[:-1], column="lpips")
    assert table["images"].tolist() == [5]
    assert table["gain"][0] == pytest.approx(-0.5 / 40, abs=2e-3)


def test_results_have_means_gains_and_p():
    given = rows(ours=0.5, worse=-1.0)
    table = results(given).set_index("method")
    assert table.loc["ours", "psnr_y"] == pytest.approx(given[given["method"] == "ours"]["psnr_y"].mean())
    assert table.loc["ours", "gain"] == pytest.approx(0.5, abs=0.1)
    assert table.loc["ours", "gain_low"] < table.loc["ours", "gain"] < table.loc["ours", "gain_high"]
    assert table.loc["ours", "gain_high"] - table.loc["ours", "gain_low"] < 0.3  # the pairs' spread, not the pictures'
    assert table.loc["worse", "p"] == 2 / 2**6
    assert np.isnan(table.loc["bicubic", "p"])
    assert (table["images"] == 6).all()


def test_behind_a_mean_stands_its_spread_where_there_is_one():
    table = pd.DataFrame({"set": ["s", "s"], "psnr_y": [30.004, 30.001], "niqe": [4.0, np.nan]})
    table = table.assign(psnr_y_low=[29.5, np.nan], psnr_y_high=[31.25, np.nan], niqe_std=[0.125, np.nan])
    cells = scores_as_text(table, SHOWN, ["set"])
    assert cells["PSNR-Y (dB)"].tolist() == ["**30.00** [29.50, 31.25]", "**30.00**"], "alike as they are printed"
    assert cells["NIQE"].tolist() == ["**4.00** ± 0.12", "–"]


def test_results_keep_the_order_of_the_rows_and_of_one_method_there_is_no_gain():
    two = pd.concat([rows(worse=-1.0, better=0.5).assign(set=name) for name in ("Urban", "Set5")])
    for table in (results(two), paired_tests(two)):
        assert list(dict.fromkeys(table["set"])) == ["Urban", "Set5"]
        assert list(dict.fromkeys(table["method"]))[-2:] == ["worse", "better"]
    assert "gain" not in results(rows())
    assert table_caption(results(rows())).endswith("second underlined.")


def test_a_score_that_some_pictures_lack_is_the_mean_of_the_others():
    given = rows(ours=0.5).reset_index(drop=True)
    given.loc[given.index[-2:], "lpips"] = np.nan
    given.loc[given["method"] == "bicubic", "lpips"] = np.nan
    table = results(given).set_index("method")
    assert table.loc["ours", "lpips"] == pytest.approx(given["lpips"].mean())
    assert (table.loc["ours", "lpips_low"], table.loc["ours", "lpips_high"]) == interval(given["lpips"].dropna())
    assert "LPIPS (AlexNet): lower is better" in table_caption(table.reset_index())
    text = latex(table.reset_index(), "")
    assert "LPIPS" in text
    assert "–" in text or "textendash" in text


def test_best_is_bold_and_second_underlined():
    text = markdown(results(rows(ours=0.5, worse=-1.0)))
    lines = {line.split("|")[3].strip(): line for line in text.splitlines()}
    assert lines["ours"].count("**") == 6
    assert lines["bicubic"].count("<u>") == 3
    assert "**" not in lines["worse"]
    assert lines["ours"].endswith(f" {2 * 2 / 2**6:.3f} |"), "p after Holm, of two comparisons"
    assert markdown(results(rows(ours=0.5))).endswith(f" {2 / 2**6:.3f} |\n")
    assert "PSNR-Y (dB)" in lines["method"]


def test_each_score_has_its_decimals_and_its_better_side():
    cells = scores_as_text(
        pd.DataFrame({name: [1.23456, 2.34567, 3.45678] for name in SHOWN}).assign(set="s"), SHOWN, ["set"]
    )
    two, three, four = ["1.23", "2.35", "3.46"], ["1.235", "2.346", "3.457"], ["1.2346", "2.3457", "3.4568"]
    more, less = ["{}", "<u>{}</u>", "**{}**"], ["**{}**", "<u>{}</u>", "{}"]
    known = {"PSNR-Y (dB)": (two, more), "SSIM-Y": (four, more), "PSNR-RGB (dB)": (two, more), "SSIM-RGB": (four, more)}
    known |= {"LPIPS": (three, less), "LPIPS-squeeze": (three, less), "grid (levels)": (two, less), "NIQE": (two, less)}
    assert len(scores_as_text(pd.DataFrame({"set": ["s", "s"], "niqe": [np.nan] * 2}), SHOWN, ["set"])) == 2
    for title, (texts, marks) in known.items():
        assert cells[title].tolist() == [mark.format(text) for mark, text in zip(marks, texts, strict=True)]


def test_a_bar_in_a_name_does_not_break_the_markdown_table():
    text = markdown(results(rows(ours=0.5).replace({"method": {"ours": "a|b\nc"}})))
    assert r"a\|b c" in text
    assert len({line.replace(r"\|", "").count("|") for line in text.splitlines()}) == 1


def test_the_table_names_protocol_sets_and_images():
    caption = table_caption(results(rows(ours=0.5)), "srgan, seed 0.")
    assert "after Holm" not in caption
    assert "after Holm" in table_caption(results(rows(ours=0.5, worse=-1)))
    for word in ("BT.601 luma", "4 pixels", "Set_6 (6 images)", "95 %", "permutation test", "srgan, seed 0."):
        assert word in caption


def test_a_table_of_another_kind_is_refused(tmp_path):
    with pytest.raises(SrkitError, match="neither .tex nor .md"):
        write_table(tmp_path / "a.docx", rows())


def test_what_pdflatex_cannot_set_stands_as_its_number():
    assert tex("éžſ “5 €”…") == "éžſ “5 €”…"
    assert tex('– " ` [ ] × ± < > ^') == (
        r"\textendash{} \textquotedbl{} \textasciigrave{} {[} {]} $\times$ $\pm$ $<$ $>$ \textasciicircum{}"
    )
    assert tex("ƀ中\u202e") == "{[}U+0180{]}{[}U+4E2D{]}{[}U+202E{]}"


def test_latex_finds_no_command_in_a_name():
    assert tex("a_b & 95 % #1 {x} ~ \\") == r"a\_b \& 95 \% \#1 \{x\} \textasciitilde{} \textbackslash{}"
    text = latex(results(rows(wgan_gp=0.5)), "100 %")
    assert r"wgan\_gp" in text
    assert r"\caption{100 \%}" in text
    assert text.count(r"\textbf{") == text.count(r"\underline{") == 3
    assert r"\textbf{inf}" in latex(results(rows(ours=0.5).replace({"psnr_y": {rows()["psnr_y"].iloc[0]: np.inf}})), "")


def test_a_latex_table_has_lpips_by_alexnet_where_it_was_judged_and_else_by_squeezenet():
    both = rows(ours=0.5).assign(lpips_squeeze=0.25)
    for judged, column in ((both, "LPIPS"), (both.assign(lpips=np.nan), "LPIPS-squeeze")):
        assert f"& {column} " in latex(results(judged), "").replace(r"\\", "")


def test_a_latex_table_has_booktabs_lines_and_floats_with_caption_and_label():
    cells = pd.DataFrame({"a_b": ["1", "**2**", "<u>3</u>"], "c": ["4", "5", "6"]}, index=[7, 8, 9])
    assert as_latex(cells, "c & d", "tab:x").splitlines() == [
        r"\begin{table}[tbp]",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        r"\caption{c \& d}",
        r"\label{tab:x}",
        r"\begin{tabular}{ll}",
        r"\toprule",
        r"a\_b & c \\",
        r"\midrule",
        r"1 & 4 \\",
        r"\textbf{2} & 5 \\",
        r"\underline{3} & 6 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


@pytest.fixture
def thesis(tmp_path, project):
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.plot([0, 1])
    save_figure(figure, "06_some", pd.DataFrame({"x": [1]}), tmp_path / "fig", "x4, 95 % of a_b: 3 × 3 – <ok>.")
    plt.close(figure)
    written = write_thesis(tmp_path / "fig", rows(20, wgan_gp=0.5), ["06_some", "06_absent"], "seed 0.")
    assert [path.name for path in written if path.exists()] == TEXTS
    return tmp_path


TEXTS = ["results.tex", "results.md", "results.csv", "references.bib"]


def test_the_thesis_files_hold_table_figures_and_works(thesis):
    text = (thesis / "fig" / "results.tex").read_text()
    assert text.count(r"\toprule") == 1
    assert text.rpartition(r"\end{table}")[2].split("\n") == [
        "",
        "",
        r"\begin{figure}[tbp]",
        r"\centering",
        r"\includegraphics[width=\linewidth]{\srkitfigures/06_some.pdf}",
        r"\caption{x4, 95 \% of a\_b: 3 $\times$ 3 \textendash{} $<$ok$>$.}",
        r"\label{fig:06_some}",
        r"\end{figure}",
        "",
    ]
    assert (thesis / "fig" / "results.md").read_text().endswith("second underlined. seed 0.\n")
    lines = (thesis / "fig" / "results.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("set,scale,method,images,psnr_y,psnr_y_low,")
    assert re.match(r"Set_6,4,bicubic,20,\d\d\.\d{1,4},", lines[1]), "six digits"
    assert "@" in (thesis / "fig" / "references.bib").read_text()


def test_the_thesis_files_compile(thesis):
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex")
    (thesis / "thesis.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\newcommand{\\srkitfigures}{fig}\n"
        "\\begin{document}\\input{fig/results}\\end{document}\n"
    )
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "thesis.tex"]
    done = subprocess.run(run, cwd=thesis, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_every_work_that_a_notebook_cites_is_in_the_bibliography(project):
    works = (project / "srkit" / "references.bib").read_text()
    for path in sorted((project / "notebooks").glob("*.ipynb")):
        cited = set(re.findall(r"arXiv:(\d{4}\.\d{5})", path.read_text()))
        assert {number for number in cited if number not in works} == set(), path.name


def test_a_table_says_what_lr_is_and_mixes_no_two_kinds(tmp_path):
    given = rows(ours=0.5).assign(degradation="Camera(strength=1.0)")
    write_table(tmp_path / "t.tex", given)
    assert "LR: Camera(strength=1.0)." in (tmp_path / "t.tex").read_text()
    both = pd.concat([given, rows(ours=0.5).assign(degradation="bicubic")])
    with pytest.raises(SrkitError, match=r"several degradations \(Camera\(strength=1.0\), bicubic\)"):
        results(both)
    assert "degradation" not in results(rows(ours=0.5).assign(degradation="bicubic"))

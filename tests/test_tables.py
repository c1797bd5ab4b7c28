"""Intervals and p against other libraries and counting by hand; the LaTeX compiles where there is a LaTeX."""

import re
import shutil
import subprocess
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from srkit.figures import save_figure
from srkit.files import SrkitError
from srkit.tables import (
    holm_corrected,
    interval,
    latex,
    markdown,
    paired_test,
    paired_tests,
    results,
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


def test_of_one_picture_there_is_no_interval():
    assert np.isnan(interval([30.0])).all()


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


def test_a_difference_that_is_no_number_has_no_p():
    assert np.isnan(paired_test([np.inf, 30], [np.inf, 29]))
    assert np.isnan(paired_test([], []))


def test_p_of_fifty_pictures_takes_little_memory_and_is_the_same_each_time():
    random = np.random.default_rng(4)
    differences = random.normal(0.2, 1, 50)
    assert paired_test(differences, np.zeros(50)) == paired_test(differences, np.zeros(50))
    assert paired_test(differences + 5, np.zeros(50)) == pytest.approx(1 / 10_001)


def test_holms_correction_by_hand():
    """4 x .01 = .04; 3 x .013 = .039 and 2 x .014 = .028 are raised to it; 1 x .19. NaN does not count."""
    np.testing.assert_allclose(holm_corrected([0.013, 0.01, 0.19, 0.014]), [0.04, 0.04, 0.19, 0.04])
    np.testing.assert_allclose(holm_corrected([0.6, 0.5, np.nan]), [1, 1, np.nan])


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


def test_best_is_bold_and_second_underlined():
    text = markdown(results(rows(ours=0.5, worse=-1.0)))
    lines = {line.split("|")[3].strip(): line for line in text.splitlines()}
    assert lines["ours"].count("**") == 6
    assert lines["bicubic"].count("<u>") == 3
    assert "**" not in lines["worse"]
    assert "PSNR-Y (dB)" in lines["method"]


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


def test_latex_finds_no_command_in_a_name():
    assert tex("a_b & 95 % #1 {x} ~ \\") == r"a\_b \& 95 \% \#1 \{x\} \textasciitilde{} \textbackslash{}"
    text = latex(results(rows(wgan_gp=0.5)), "100 %")
    assert r"wgan\_gp" in text
    assert r"\caption{100 \%}" in text
    assert text.count(r"\textbf{") == text.count(r"\underline{") == 3
    assert r"\textbf{inf}" in latex(results(rows(ours=0.5).replace({"psnr_y": {rows()["psnr_y"].iloc[0]: np.inf}})), "")


@pytest.fixture
def thesis(tmp_path, project):
    figure, axis = plt.subplots(figsize=(2, 1))
    axis.plot([0, 1])
    save_figure(figure, "06_some", pd.DataFrame({"x": [1]}), tmp_path / "fig", "x4, 95 % of a_b: 3 × 3 – <ok>.")
    plt.close(figure)
    write_thesis(tmp_path / "fig", rows(20, wgan_gp=0.5), ["06_some", "06_absent"], "seed 0.")
    return tmp_path


def test_the_thesis_files_hold_table_figures_and_works(thesis):
    text = (thesis / "fig" / "results.tex").read_text()
    assert "06_some.pdf" in text
    assert "06_absent" not in text
    assert r"95 \% of a\_b" in text
    assert len(pd.read_csv(thesis / "fig" / "results.csv")) == 2
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

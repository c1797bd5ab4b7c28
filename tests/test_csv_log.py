"""Rows from several processes are all there, whole; what a crash cut off harms nothing."""

import subprocess
import sys

import pandas as pd
import pytest

from srkit import csv_log
from srkit.csv_log import CsvLog
from srkit.files import SrkitError, locked

WRITER = """
import sys
from srkit.csv_log import CsvLog
log = CsvLog(sys.argv[1], ["who", "number", "value"], words=["who"])
for number in range(60):
    log.append({"who": sys.argv[2], "number": number, "value": number / 7})
    if number % 20 == 0:
        log.rewrite(lambda table: table)
"""


@pytest.fixture
def log(tmp_path) -> CsvLog:
    return CsvLog(tmp_path / "sub" / "log.csv", ["who", "number", "value"], words=["who"])


def test_several_processes_lose_no_line(log):
    command = [sys.executable, "-c", WRITER, str(log.path)]
    writers = [subprocess.Popen([*command, who]) for who in ("007", "NA", "a,b")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    table = log.read()
    found = {who: sorted(part["number"]) for who, part in table.groupby("who")}
    assert found == {who: list(range(60)) for who in ("007", "NA", "a,b")}
    assert (table["value"] - table["number"] / 7).abs().max() < 1e-5


def test_a_line_that_was_cut_off_is_not_read_and_goes_with_the_next_one(log):
    log.append({"who": "one", "number": 1, "value": 0.5})
    log.path.write_text(log.path.read_text() + "two,2,0.")
    assert log.read()["who"].tolist() == ["one"]
    log.append({"who": "three", "number": 3, "value": None})
    assert log.path.read_text() == "who,number,value\none,1,0.5\nthree,3,\n"


def test_an_older_file_keeps_its_columns_until_it_is_rewritten(tmp_path):
    (tmp_path / "log.csv").write_text("number,who\n1,one\n")
    log = CsvLog(tmp_path / "log.csv", ["who", "number", "value"], words=["who"], needed=["who"])
    log.append({"who": "two", "number": 2, "value": 0.25})
    assert (tmp_path / "log.csv").read_text() == "number,who\n1,one\n2,two\n"
    log.rewrite(lambda table: table[::-1])
    assert (tmp_path / "log.csv").read_text() == "who,number,value\ntwo,2,\none,1,\n"


def test_another_kind_of_file_is_refused_and_a_locked_one_waited_for(log, monkeypatch):
    log.path.parent.mkdir()
    log.path.write_text("a,b\n1,2\n")
    for act in (log.read, lambda: log.rewrite(lambda table: table)):
        with pytest.raises(SrkitError, match="log.csv is no table of this kind"):
            act()
    assert pd.read_csv(log.path).to_dict("list") == {"a": [1], "b": [2]}
    monkeypatch.setattr(csv_log, "PATIENCE", 0.05)
    log.path.unlink()
    with locked(log.path), pytest.raises(SrkitError, match="in use by another process"):
        log.append({"who": "me"})


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path):
    """A device may have no end: /dev/full gives zeros until the memory is full."""
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises(SrkitError, match="is no table of this kind"):
            CsvLog(path, ["who"]).read()

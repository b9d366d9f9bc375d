"""The formulas of records' workbooks, computed anew by LibreOffice: apt-get install libreoffice-calc."""

import csv
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.unit.decisions.test_calculation import CASES, made
from worker.decisions.formats import FORMATS

ALWAYS: Final = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="/org.openoffice.Office.Calc/Formula/Load"><prop oor:name="OOXMLRecalcMode" oor:op="fuse">
<value>0</value></prop></item></oor:items>
"""
"""That formulas are computed when a file is opened, whatever figures stand in it."""
EVERY_SHEET: Final = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,false,false,false,false,-1"


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all sheets of all cases, computed from figures that had been taken out."""
    office = shutil.which("soffice")
    assert office, "LibreOffice is needed: apt-get install libreoffice-calc"
    folder = tmp_path_factory.mktemp("books")
    (folder / "home" / "user").mkdir(parents=True)
    (folder / "home" / "user" / "registrymodifications.xcu").write_text(ALWAYS)
    for number, case in enumerate(CASES.values()):
        record = made(**case)
        figures = record["content"]["computed"]
        wrong = {
            name: {each: dict.fromkeys(row, 9.0) for each, row in figures[name].items()}
            for name in ("scores", "values")
        }
        of_others = {"sums": dict.fromkeys(figures["sums"], 9.0), "shares": dict.fromkeys(figures["shares"], 9.0)}
        forged = record | {"content": record["content"] | {"computed": figures | wrong | of_others | {"ranking": []}}}
        (folder / f"{number}.xlsx").write_bytes(FORMATS["xlsx"].write(forged))
    home = f"-env:UserInstallation={(folder / 'home').as_uri()}"
    books = [*map(str, folder.glob("*.xlsx"))]
    command = [office, home, "--headless", "--convert-to", EVERY_SHEET, "--outdir", str(folder), *books]
    subprocess.run(command, check=True, capture_output=True, timeout=150)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_spreadsheet_comes_to_the_records_figures_and_ranking(computed: Path, case: str) -> None:
    figures = made(**CASES[case])["content"]["computed"]
    number = [*CASES].index(case)
    ranking, scores, weights = (
        [*csv.reader((computed / f"{number}-{sheet}.csv").read_text().splitlines())][1:]
        for sheet in ("Ranking", "Scores", "Weights")
    )

    assert {row[0]: float(row[2]) for row in ranking if row[2]} == pytest.approx(figures["sums"], abs=1e-11)
    ranked = {row[0]: int(row[5]) for row in ranking if row[5]}
    assert sorted(ranked, key=ranked.__getitem__) == figures["ranking"]
    assert sorted(ranked.values()) == [*range(1, len(ranked) + 1)]
    shares = {row[0]: float(row[4]) for row in weights if row[0] in figures["shares"]}
    assert shares == pytest.approx(figures["shares"], abs=1e-11)
    for name, column in (("scores", 4), ("values", 5)):
        cells = {(row[0], row[2]): float(row[column]) for row in scores if row[column]}
        said = {(each, criterion): figure for each, row in figures[name].items() for criterion, figure in row.items()}
        assert cells == pytest.approx(said, abs=1e-11)

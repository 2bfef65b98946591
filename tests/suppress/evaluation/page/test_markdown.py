"""The report as Markdown."""

import json
from dataclasses import replace

import pytest

from suppress.evaluation.all_methods import OURS
from suppress.evaluation.page.markdown import code, plain, report_markdown, table_markdown
from suppress.evaluation.page.parts import Column, Table, TableRow, Value

pytestmark = pytest.mark.quick


def test_a_table_has_headings_with_units_and_values_with_intervals():
    columns = (Column("pictures", digits=0), Column("time", unit="s", digits=1), Column("Δ", signed=True))
    rows = (
        TableRow("a|b", (Value(4), Value(1.25, (1.0, 1.5)), Value(0.5, (-0.5, 1.0))), marked=True),
        TableRow("_c_", (Value(2), Value(), Value(0.1, words="hat <b>"))),
    )
    assert table_markdown(Table("t", "row", columns, rows)).splitlines() == [
        "| row | pictures | time, s | Δ |",
        "|---|---|---|---|",
        r"| **a\|b** | 4 | 1.2 [1.0, 1.5] | +0.500 [-0.500, +1.000] |",
        r"| \_c\_ | 2 | – | hat \<b\> |",
    ]


def test_no_sign_of_a_text_means_anything():
    assert plain("a\n *b* <i>&amp; `x` [y] \\ #") == r"a \*b\* \<i\>\&amp; \`x\` [y] \\ \#"


def test_code_with_backticks_stays_within_its_fence():
    assert code("a ``` b", "sh") == "````sh\na ``` b\n````"
    assert code("a", "sh") == "```sh\na\n```"


def test_every_table_has_its_command_and_the_settings_follow(report):
    text = report_markdown(report)
    assert text.count(f"Made by:\n\n```sh\n{report.command}\n```") == len(report.tables) == 3
    settings = text.partition("## Settings\n\n```json\n")[2].removesuffix("\n```")
    assert json.loads(settings) == report.settings
    assert f"| **{OURS}** | 4 | 0 | 0 | 0.050 [" in text and r"| SWR \<old\> | 2 | 2 | 1 | 0.700 [" in text
    assert "All figures are about the embedded model" in text.split("## ")[0]


def test_notes_stand_below_their_table(report):
    text = report_markdown(replace(report, tables=report.tables[:1]))
    assert text.index("The reference is") > text.index(r"| SWR \<old\>")

"""Tables of lines: what spreadsheets write is read, and a bad row is a bad row only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.errors import MisoError
from miso.files import can_be_file
from miso.text.table import TableLine, line_name, read_table


@pytest.fixture
def table(tmp_path):
    """``table(text)``: the lines of a file with this content."""

    def read(content: str | bytes, name: str = "lines.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path)

    return read


def test_columns_in_any_order_and_case(table):
    found = table("Name,NOTE, Speaker ,Text,seed,voice\nend,x,2,The end.,7,eve\n\n,,,Hello.,,\n")
    assert found.ignored == ("note",)
    assert found.lines == (
        TableLine(2, "end", "The end.", 2, 7, "eve"),
        TableLine(4, "0003-hello", "Hello."),
    )


@pytest.mark.parametrize(
    "content, name",
    [
        ('\ufefftext,speaker\n"Well, yes.",1\n', "lines.csv"),  # as Excel writes it
        ("text;speaker\nWell, yes.;1\n", "lines.csv"),  # in Germany
        ("text\tspeaker\nWell, yes.\t1\n", "lines.tsv"),
        ('text,speaker\r\n"Well, yes.",1\r\n', "lines.txt"),
    ],
)
def test_what_spreadsheets_write(table, content, name):
    assert table(content, name).lines == (TableLine(2, "0001-well-yes", "Well, yes.", 1),)


def test_bad_rows_say_why(table):
    rows = [
        "one,0,,x",
        ",1,,",
        "a,b,,",
        "two,256,,",
        "three,,-1,",
        "four,,,../x",
        "five,,,con:",
        "six,,,,six",
        "seven,,,X",
    ]
    problems = [line.problem for line in table("text,speaker,seed,name\n" + "\n".join(rows)).lines]
    assert problems == [
        "",
        "there is no text",
        "speaker is 'b', not a whole number from 0 to 255",
        "speaker is '256', not a whole number from 0 to 255",
        f"seed is '-1', not a whole number from 0 to {2**63 - 1}",
        "'../x' can't be the name of a file",
        "'con:' can't be the name of a file",
        "more cells than columns: put text that has commas between quotes",
        "row 2 has the name 'X' too",
    ]


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "no column 'text'"),
        ("Hello.\nThe end.\n", "Its first row names the columns"),
        ("text,Text\na,b\n", "two columns 'text'"),
        (b"text\n\xff\xfe\n", "can't be read"),
        ('text\n"never closed\n', "can't be read"),
    ],
)
def test_files_that_are_no_tables(table, content, words):
    with pytest.raises(MisoError, match=words):
        table(content)
    with pytest.raises(MisoError, match="can't be read"):
        read_table("nowhere.csv")


@given(st.integers(1, 99999), st.text(max_size=200))
def test_a_line_without_a_name_gets_one_that_is_a_file(number, text):
    assert can_be_file(line_name(number, text))

"""A user's own pronunciations: how they are written, where they apply, and what is wrong with a line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.errors import MisoError
from miso.text.pronunciations import Pronunciations, without_phonemes

TEXT = """
# names
Siobhan = shivawn
SQL = sequel
miso = /mˈizO/
New York = Noo York
"""


def test_whole_words_are_replaced():
    own = Pronunciations.parse(TEXT)
    assert own.apply("Siobhan knows SQL, not MySQL.") == "shivawn knows sequel, not MySQL."
    assert own.apply("Miso and miso") == "[miso](/mˈizO/) and [miso](/mˈizO/)"  # lower case is for all
    assert own.apply("sql in new york") == "sql in new york"  # capitals are for themselves
    assert own.apply("in New York.") == "in Noo York."
    assert own.apply("[miso](/misˈO/)") == "[miso](/misˈO/)"
    assert without_phonemes(own.apply("Miso!")) == "miso!"
    assert Pronunciations().apply("Siobhan") == "Siobhan"


@pytest.mark.parametrize("line, message", [
    ("Siobhan", "names.txt, line 2: 'Siobhan' is not 'word = how it is said'"),
    ("= x", "line 2"),
    ("x =", "line 2"),
    ("x = /ñ/", "line 2: 'ñ' is no phoneme. Use these: AIOTWY"),
    ("x[] = /a/", "line 2"),
])  # fmt: skip
def test_what_is_wrong_with_a_line_is_said(line, message):
    with pytest.raises(MisoError) as e:
        Pronunciations.parse(f"# first\n{line}", "names.txt")
    assert message in str(e.value)


def test_files(tmp_path):
    path = tmp_path / "pronunciations.txt"
    path.write_text(TEXT, encoding="utf-8-sig")  # as editors on Windows save it
    assert Pronunciations.read(path) == Pronunciations.parse(TEXT)
    path.write_bytes(b"\xff\xfe\x00")
    for bad in (path, tmp_path / "none.txt", tmp_path):
        with pytest.raises(MisoError, match="can't be read"):
            Pronunciations.read(bad)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_read_or_refused(dictionary, text):
    try:
        own = Pronunciations.parse(dictionary)
    except MisoError:
        return
    assert isinstance(own.apply(text), str)

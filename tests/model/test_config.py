"""Names of voices in a model's config."""

from dataclasses import replace

import pytest

from miso.errors import MisoError
from miso.model.config import PRESETS, ModelConfig


def test_voices_have_names():
    nano = PRESETS["nano"]
    assert len(nano.voices) == len(set(nano.voices)) == 28
    assert [nano.speaker(name) for name in ("af_heart", "Michael", "am_michael", "LEWIS")] == [0, 1, 1, 27]
    with pytest.raises(MisoError, match="no voice 'anna'.*Choose one of: af_heart"):
        nano.speaker("anna")
    with pytest.raises(MisoError, match="have no names"):
        PRESETS["8b"].speaker("heart")


def test_voices_are_written_only_where_there_are_any():
    nano, large = PRESETS["nano"], PRESETS["8b"]
    assert ModelConfig.from_json(nano.to_json()) == nano
    assert "voices" not in large.to_json() and ModelConfig.from_json(large.to_json()) == large


@pytest.mark.parametrize("voices", [("a", 5), ("a", ""), ("a", "b", "a"), "heart", {"a": 1}, 5, None, [[]]])
def test_voices_of_a_damaged_config_are_refused(voices):
    with pytest.raises(MisoError, match="voices must be names, each once, not .* The file is damaged"):
        replace(PRESETS["nano"], voices=voices)

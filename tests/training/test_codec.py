"""Training of codes and codec: the parts against what they stand for, and the whole on a few clips."""

from dataclasses import replace

import pytest
import torch

from miso.errors import MisoError
from miso.training.bottleneck import Bottleneck, draw_kept, perplexity
from miso.training.codec import train_codec
from miso.training.coded import encode_speech
from miso.training.coder import train_coder
from miso.training.content import LETTERS, PHONES, ContentHead, spell
from miso.training.crops import Crops, Words, samples_of
from miso.training.melcoder import MelCoder
from miso.training.presets import TINY_CODEC, as_record, settings
from miso.training.run import Budget, Run
from miso.training.spectral import MelLoss, mel_bands
from miso.training.vocoder import train_vocoder
from miso.vocoders import load_vocoder
from miso.vocoders.mimi import Mimi, load_mimi, random_mimi, save_mimi

CPU = torch.device("cpu")


def quiet_run(folder, setting, **budget):
    return Run(folder, Budget(**budget), as_record(setting), seed=3, log=lambda line: None)


@pytest.fixture
def quantizer():
    torch.manual_seed(0)
    q = Mimi(TINY_CODEC).quantizer
    torch.nn.init.normal_(q.semantic.tables)
    torch.nn.init.normal_(q.acoustic.tables)
    return q


def test_bottleneck_gives_what_inference_gives(quantizer):
    bottleneck, latent = Bottleneck(quantizer, 0.9, 0.0), torch.randn(3, 32, 10)
    kept, bypassed = torch.tensor([4, 2, 1]), torch.tensor([False, False, False])
    out = bottleneck(latent, kept, bypassed, learn=False)
    assert torch.equal(out.codes, quantizer.encode(latent, 4))
    for b, n in enumerate(kept):
        assert torch.allclose(out.latent[b : b + 1], quantizer.decode(out.codes[b : b + 1, :n]), atol=1e-5)
    assert torch.allclose(out.content, quantizer.decode(out.codes[:, :1]), atol=1e-5)
    through = bottleneck(latent, kept, torch.tensor([True] * 3), learn=False)
    around, content, _ = bottleneck.bypass(latent)
    assert (
        torch.allclose(through.latent, around, atol=1e-5)
        and torch.equal(through.codes, out.codes)
        and torch.equal(through.content, out.content)
    )
    assert torch.allclose(content, quantizer.semantic.output_proj(quantizer.semantic.input_proj(latent)))
    # a louder latent in louder tables is as far off as before
    quantizer.semantic.tables.mul_(3), quantizer.acoustic.tables.mul_(3)
    assert bottleneck(3 * latent, kept, bypassed, learn=False).commitment.item() == pytest.approx(
        out.commitment.item(), rel=1e-4
    )


def test_gradients_pass_straight_and_commit(quantizer):
    bottleneck, latent = Bottleneck(quantizer, 0.9, 0.0), torch.randn(2, 32, 10, requires_grad=True)
    out = bottleneck(latent, torch.tensor([4, 2]), torch.tensor([False, False]), learn=False)
    (g,) = torch.autograd.grad(out.latent.sum(), latent, retain_graph=True)
    (want,) = torch.autograd.grad(
        sum(p.output_proj(p.input_proj(latent)) for p in (quantizer.semantic, quantizer.acoustic)).sum(),
        latent,
    )
    assert torch.allclose(g, want, atol=1e-6)  # as if nothing had been quantized
    assert torch.autograd.grad(out.commitment, latent)[0].abs().sum() > 0
    assert not quantizer.acoustic.tables.requires_grad


def test_tables_move_to_their_vectors_and_dead_entries_restart(quantizer):
    bottleneck, centres = Bottleneck(quantizer, 0.5, 0.05), 5 * torch.randn(6, 32)
    latent = centres[torch.randint(0, 6, (8 * 50,))].view(8, 50, 32).transpose(1, 2) + 0.01 * torch.randn(
        8, 32, 50
    )
    keep = draw_kept(8, 4, 0.0, 0.0, CPU)
    first = bottleneck(latent, *keep)
    for _ in range(30):
        out = bottleneck(latent, *keep)
    x = quantizer.semantic.input_proj(latent).transpose(1, 2)
    error = (x - torch.nn.functional.embedding(out.codes[:, 0], quantizer.semantic.tables[0])).square().mean()
    assert error < 1e-3 * x.var() and out.commitment <= first.commitment
    lost = quantizer.semantic.tables[0, 7].clone().fill_(1e3)
    quantizer.semantic.tables[0, 7], bottleneck.sums[0][0, 7], bottleneck.counts[0][0, 7] = (
        lost,
        lost * 1e-4,
        1e-4,
    )
    bottleneck(latent, *keep)
    assert (quantizer.semantic.tables[0, 7] - x.flatten(0, 1)).norm(
        dim=1
    ).min() < 1e-4  # one of the batch's own vectors


def test_tables_follow_what_shifts_together(quantizer):
    bottleneck, latent = Bottleneck(quantizer, 0.99, 0.05), torch.randn(4, 32, 60)
    keep = draw_kept(4, 4, 0.0, 0.0, CPU)
    for _ in range(100):
        settled = bottleneck(latent, *keep)
    ahead = torch.randn(32, 1)
    for step in range(1, 60):
        moved = bottleneck(
            latent + step * ahead, *keep
        )  # further each step than the latents are from each other

    def distance(bottled, x):
        return (bottled.latent - bottleneck.bypass(x)[0]).square().mean()

    assert (
        distance(moved, latent + 59 * ahead)
        < 3 * distance(settled, latent) + 0.5 * bottleneck.bypass(latent)[0].var()
    )


def test_dropout_of_codebooks_and_use():
    kept, bypassed = draw_kept(4000, 8, 0.25, 0.15, CPU)
    assert set(kept.tolist()) == set(range(1, 9)) and 0.75 < (kept == 8).float().mean() < 0.82
    assert 0.12 < bypassed.float().mean() < 0.18 and (kept[bypassed] == 8).all()
    assert perplexity(torch.tensor([[[0, 1, 2, 3], [5, 5, 5, 5]]]), 8).tolist() == pytest.approx([4, 1])


def test_crops_are_pieces_of_their_clips(speech):
    clips = speech.split("train")
    samples = samples_of(speech, CPU)
    crops = Crops(samples, clips, 9600)
    crop = crops.draw(64)
    for piece, i, whole in zip(crop.wave[:, 0], crop.clip, crop.whole):
        wave = torch.from_numpy(speech.wave(clips[i]))
        assert whole == (len(wave) <= 9600)
        if not whole:
            assert any(torch.equal(piece, w) for w in wave.unfold(0, 9600, 1))
    short = Crops(samples, clips, 48_000).cut(torch.tensor([0, 0]), torch.tensor([0.0, 0.999999]))
    n = clips[0].samples
    wave = torch.from_numpy(speech.wave(clips[0]))
    assert (
        torch.equal(short.wave[0, 0, :n], wave)
        and torch.equal(short.wave[1, 0, -n:], wave)
        and not short.wave[0, 0, n:].any()
    )


def test_mel_bands_and_distance():
    for window, bands in ((32, 5), (512, 80), (2048, 320)):
        m = mel_bands(24_000, window, bands)
        assert (
            m.shape == (bands, window // 2 + 1)
            and torch.allclose(m.sum(1), torch.ones(bands))
            and (m >= 0).all()
        )
    loss, wave = MelLoss(24_000), 0.1 * torch.randn(2, 1, 9600, generator=torch.Generator().manual_seed(0))
    assert loss(wave, wave) == 0 and loss(wave, 10 * wave) == pytest.approx(
        1, abs=0.03
    )  # ten times the magnitude is one in log10
    sine = torch.sin(torch.arange(24_000) * 0.3)[None, None]
    assert 10 ** loss._log_mel(sine, 2048).max() == pytest.approx(
        1, abs=0.4
    )  # a full-scale sine fills about one band
    silent = torch.zeros(1, 1, 9600, requires_grad=True)
    loss(silent, wave[:1]).backward()
    assert silent.grad.isfinite().all()


def test_symbols(speech):
    assert "".join(LETTERS[i - 1] for i in spell("Don't stop, Anna!")) == "don't stop anna"
    assert "".join(PHONES[i - 1] for i in spell("My brother, is.", "mˌI bɹˈʌðəɹ, ˈIz.")) == "mI bɹʌðəɹ Iz"
    words = Words(speech.clips[:2], CPU)
    assert words.targets[0, : words.lengths[0]].tolist() == spell(speech.clips[0].text) and not words.phonemes


def test_content_head_learns_to_read():
    torch.manual_seed(0)
    head, latent = ContentHead(16, 3, 32), torch.randn(2, 16, 6)
    targets, lengths = torch.tensor([[1, 2, 2, 3], [3, 1, 0, 0]]), torch.tensor([4, 2])
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss = head.loss(latent, targets, lengths, torch.tensor([True, True]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert head.loss(latent, targets, lengths, torch.tensor([False, False])) == 0


def resumed(train, folder, setting, steps, **more):
    """A run cut off in the middle and gone on with, and its file."""
    cut = quiet_run(folder, setting, steps=steps)
    whole_steps = cut.steps

    def cut_steps():
        for step in whole_steps():
            yield step
            if step == steps // 2:
                return  # as stop_after does: the run ends and saves

    cut.steps = cut_steps
    train(cut, **more)
    return (parts := quiet_run(folder, setting, steps=steps)), train(parts, **more)


@pytest.fixture(scope="module")
def coder(speech, tmp_path_factory):
    setting, folder = settings("coder", "tiny"), tmp_path_factory.mktemp("coder")
    run = quiet_run(folder, setting, steps=40)
    return train_coder(speech, run, setting, CPU), run


def test_coder_learns_and_resumes_to_the_bit(speech, coder, tmp_path):
    path, run = coder
    mels = [row["mel"] for row in run.record["history"] if "mel" in row]
    assert (
        mels[-1] < 0.8 * mels[0] and {"held_out_mel_plain", "held_out_rank"} <= run.record["figures"].keys()
    )
    setting = settings("coder", "tiny")
    parts, _ = resumed(lambda run: train_coder(speech, run, setting, CPU), tmp_path, setting, 40)
    a, b = run.load(), parts.load()
    assert parts.step == 40 and a.keys() == b.keys() and [n for n in a if not torch.equal(a[n], b[n])] == []
    assert torch.equal(
        MelCoder.load(path, CPU).quantizer.acoustic.tables, a["coder.coder.quantizer.acoustic.tables"]
    )


def test_coder_sees_nothing_later(speech, coder):
    coder = MelCoder.load(coder[0], CPU)
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None, : 6 * 1920]
    later = torch.cat((wave[..., : 4 * 1920], torch.randn(1, 1, 2 * 1920)), -1)
    a, b = coder.analyse(wave), coder.analyse(later)
    assert torch.equal(a[..., :4], b[..., :4]) and not torch.equal(a[..., 4:], b[..., 4:])
    assert torch.equal(coder.synthesise(a)[:, :4], coder.synthesise(b)[:, :4]) and coder.synthesise(
        a
    ).shape == (1, 6, 640)
    assert (coder.spectrum(10 * later) - coder.spectrum(later))[:, 34:].mean() == pytest.approx(
        1, abs=0.01
    )  # log10 of magnitudes


def test_codec_learns_the_coders_codes_and_resumes_to_the_bit(speech, coder, tmp_path):
    setting = settings("codec", "tiny")

    def train(run):
        return train_codec(speech, run, setting, CPU, coder=coder[0])

    path = train(whole := quiet_run(tmp_path / "whole", setting, steps=24))
    history = whole.record["history"]
    mels, latents = ([row[name] for row in history if name in row] for name in ("mel", "latent"))
    assert mels[-1] < 0.85 * mels[0] and latents[-1] < 0.9 * latents[0]
    assert {"adversarial", "features", "critics"} <= history[-2].keys() and "adversarial" not in history[0]
    parts, _ = resumed(train, tmp_path / "parts", setting, 24)
    a, b = whole.load(), parts.load()
    assert parts.step == 24 and a.keys() == b.keys() and [n for n in a if not torch.equal(a[n], b[n])] == []
    mimi, coder = load_mimi(path), MelCoder.load(coder[0], CPU)
    assert mimi.codec == "tiny" and mimi.config == TINY_CODEC
    assert torch.equal(mimi.quantizer.acoustic.tables, coder.quantizer.acoustic.tables)


def test_a_codec_by_itself_keeps_its_codes(speech, coder, tmp_path):
    setting = settings("codec", "tiny")
    first = train_codec(speech, quiet_run(tmp_path / "first", setting, steps=3), setting, CPU, coder=coder[0])
    second = train_codec(speech, quiet_run(tmp_path / "second", setting, steps=4), setting, CPU, start=first)
    a, b = load_mimi(first), load_mimi(second)
    wave = torch.from_numpy(speech.wave(speech.clips[0]))[None, None]
    assert torch.equal(a.encode(wave), b.encode(wave)) and not torch.equal(
        a.decoder.model[0].conv.weight, b.decoder.model[0].conv.weight
    )
    with pytest.raises(MisoError, match="no coder"):
        train_codec(speech, quiet_run(tmp_path / "third", setting, steps=1), setting, CPU)
    with pytest.raises(MisoError, match="not a mel coder"):
        train_codec(speech, quiet_run(tmp_path / "fourth", setting, steps=1), setting, CPU, coder=first)
    save_mimi(tmp_path / "other.safetensors", random_mimi(replace(TINY_CODEC, filters=2), 0, "tiny"))
    with pytest.raises(MisoError, match="other sizes"):
        train_codec(
            speech,
            quiet_run(tmp_path / "fifth", setting, steps=1),
            setting,
            CPU,
            coder=coder[0],
            start=tmp_path / "other.safetensors",
        )


def test_vocoder_learns_and_resumes_to_the_bit(speech, tmp_path):
    save_mimi(codec := tmp_path / "codec.safetensors", random_mimi(TINY_CODEC, 1, "tiny"))
    coded, setting = (
        encode_speech(speech, codec, tmp_path / "codes.safetensors", CPU),
        settings("vocoder", "tiny"),
    )

    def train(run):
        return train_vocoder(speech, coded, codec, run, setting, CPU)

    path = train(whole := quiet_run(tmp_path / "whole", setting, steps=40))
    history = whole.record["history"]
    mels = [row["mel"] for row in history if "mel" in row]
    assert mels[-1] < 0.85 * mels[0] and "critics" in history[-2] and "critics" not in history[0]
    parts, _ = resumed(train, tmp_path / "parts", setting, 40)
    a, b = whole.load(), parts.load()
    assert parts.step == 40 and a.keys() == b.keys() and [n for n in a if not torch.equal(a[n], b[n])] == []
    vocoder, tables = load_vocoder("auto", path), load_mimi(codec).quantizer.acoustic.tables
    assert vocoder.codec == "tiny" and torch.equal(
        vocoder.module.quantizer.acoustic.tables, tables
    )  # the codes mean what they meant
    further = quiet_run(tmp_path / "further", setting, steps=1)
    train_vocoder(speech, coded, codec, further, setting, CPU, start=path)
    assert (
        further.record["figures"]["held_out_mel"] < 1.05 * whole.record["figures"]["held_out_mel"]
    )  # it goes on from there
    other = replace(setting, sizes=replace(setting.sizes, width=24))
    with pytest.raises(MisoError, match="other sizes"):
        train_vocoder(
            speech, coded, codec, quiet_run(tmp_path / "wide", other, steps=1), other, CPU, start=path
        )
    save_mimi(codec, random_mimi(TINY_CODEC, 1, "other"))
    with pytest.raises(MisoError, match="codes are of the codec 'tiny'.*'other'"):
        train(quiet_run(tmp_path / "other", setting, steps=1))


def test_other_settings_dont_resume(speech, tmp_path):
    setting = settings("coder", "tiny")
    train_coder(speech, quiet_run(tmp_path, setting, steps=1), setting, CPU)
    with pytest.raises(MisoError, match="other settings .rate."):
        quiet_run(tmp_path, replace(setting, rate=1e-5), steps=1)
    with pytest.raises(MisoError, match="no length"):
        Budget()

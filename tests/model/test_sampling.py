"""Sampling: numbers depend on the seed alone, and codes follow the filtered softmax of their logits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from miso.errors import MisoError
from miso.model.sampling import Sampling, draw, penalized, probabilities, uniforms

DRAWS = 20_000


def reference(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The published distribution: everything below the k-th most likely id is removed, then softmax."""
    if 0 < sampling.top_k < len(logits):
        logits = torch.where(logits < logits.topk(sampling.top_k).values[-1], -torch.inf, logits)
    p = torch.softmax(logits.double() / sampling.temperature, -1)
    p = torch.where(p < sampling.min_p * p.max(), 0, p)
    nucleus = torch.zeros_like(p)
    for i in p.argsort(descending=True):
        if nucleus.sum() >= sampling.top_p * p.sum():
            break
        nucleus[i] = p[i]
    return nucleus / nucleus.sum()


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.9, 50),
        Sampling(1.3, 5),
        Sampling(0.6, 0),
        Sampling(1.0, 2),
        Sampling(0.9, 5000),
        Sampling(0.9, 50, top_p=0.8),
        Sampling(1.3, 0, min_p=0.1),
        Sampling(1.0, 60, top_p=0.9, min_p=0.02),
    ],
)
def test_draws_follow_the_filtered_softmax(sampling):
    logits = torch.randn(120, generator=torch.Generator().manual_seed(3)) * 2
    u = uniforms([7], DRAWS, 1)[0, :, 0]
    ids = draw(logits.expand(DRAWS, -1), u, sampling, 100)
    p = reference(logits[:100], sampling)
    counts = torch.bincount(ids, minlength=100).double()
    assert counts[p == 0].sum() == 0
    frequent = p * DRAWS >= 5  # chi-square needs five expected draws per cell: the others form one cell
    seen, want = (torch.cat((x[frequent], x[~frequent].sum()[None])) for x in (counts, p * DRAWS))
    seen, want = seen[want > 0], want[want > 0]
    chi2, freedom = ((seen - want) ** 2 / want).sum().item(), len(want) - 1
    assert chi2 < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations


def test_ids_tied_with_the_last_of_the_nucleus_are_kept():
    """Whatever their order: a device sorts ties as it likes."""
    p = probabilities(torch.tensor([[1.0, 3.0, 1.0, 1.0]]), Sampling(1.0, 0, top_p=0.8), 4)
    assert (p > 0).all()
    assert (
        probabilities(torch.tensor([[1.0, 3.0, 1.0, 1.0]]), Sampling(1.0, 0, top_p=0.5), 4) > 0
    ).sum() == 1


def test_what_was_added_later_changes_no_older_key():
    assert Sampling(0.7, 20).described() == {"temperature": 0.7, "top_k": 20}
    assert Sampling(0.7, 20, min_p=0.1).described() == {"temperature": 0.7, "top_k": 20, "min_p": 0.1}


def test_a_penalty_makes_recent_ids_less_likely_and_no_others():
    logits = torch.tensor([[2.0, -2.0, 1.0, -torch.inf], [4.0, 0.5, -1.0, 3.0]])
    recent = torch.tensor([[1, 0, 1], [-1, 3, -1]])
    want = torch.tensor([[1.0, -4.0, 1.0, -torch.inf], [4.0, 0.5, -1.0, 1.5]])
    assert penalized(logits, recent, 2.0).equal(want)
    assert penalized(logits, torch.full((2, 3), -1), 2.0).equal(logits)


def test_greedy_takes_the_lowest_of_the_most_likely():
    logits = torch.tensor([[0.0, 3.0, 1.0, 3.0, 9.0], [2.0, 2.0, 2.0, 2.0, 9.0]])
    for sampling in (Sampling(0, 50), Sampling(0.9, 1), Sampling(0, 0)):
        # id 4 is not an id of the codec
        assert draw(logits, torch.tensor([0.99, 0.99]), sampling, 4).tolist() == [1, 0]


def test_ties_with_the_kth_are_kept():
    logits = torch.tensor([1.0, 2.0, 2.0, 2.0, 0.0])
    u = uniforms([1], 3000, 1)[0, :, 0]
    ids = draw(logits.expand(3000, -1), u, Sampling(1.0, 2), 5)
    assert set(ids.tolist()) == {1, 2, 3}


@given(
    st.lists(st.floats(-40, 40), min_size=1, max_size=40),
    st.floats(0.01, 5),
    st.integers(0, 45),
    st.sampled_from([0.0, 2**-23, 0.5, 1 - 2**-23]),
)
def test_never_an_id_without_probability(values, temperature, top_k, u):
    logits = torch.tensor(values)
    sampling = Sampling(temperature, top_k)
    chosen = int(draw(logits[None], torch.tensor([u]), sampling, len(values)))
    if sampling.greedy:
        assert logits[chosen] == logits.max()
    else:
        kth = logits.topk(min(top_k or len(values), len(values))).values[-1]
        assert 0 <= chosen < len(values) and logits[chosen] >= kth


@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 100.0])
def test_extreme_temperatures_are_finite(temperature):
    logits = torch.tensor([[5.0, 60.0, -80.0]])
    expected = {1} if temperature < 1 else {0, 1, 2}
    assert int(draw(logits, torch.tensor([0.3]), Sampling(temperature, 0), 3)) in expected


def test_numbers_depend_on_seed_frame_and_codebook_alone():
    table = uniforms([5, 2**64 - 1, -1], 30, 8)
    assert table.min() >= 0 and table.max() <= 1 - 2**-23
    assert torch.equal(uniforms([5], 12, 8)[0], table[0, :12])  # the number of frames does not matter
    assert torch.equal(table[1], table[2])  # seeds are taken modulo 2^64
    assert not torch.equal(table[0], table[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"min_p": 1.0},
        {"repetition_penalty": 0.9},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(MisoError) as e:
        Sampling(**wrong)
    assert e.value.input in wrong


def test_all_64_bits_of_a_seed_count():
    seeds = [0, 1, 2**32, 2**32 + 1, 2**33, 5 * 2**40, 2**63, 2**63 - 1, -1]
    tables = uniforms(seeds, 4, 8)
    assert len({tuple(table.flatten().tolist()) for table in tables}) == len(seeds)
    assert (
        tables.min() >= 0 and tables.max() < 1 and abs(float(uniforms([2**40], 500, 8).mean()) - 0.5) < 0.02
    )
    # as recorded before: seeds below 2**32 stay what they were
    old = torch.randint(2**23, (4, 8), generator=torch.Generator().manual_seed(1)) * 2.0**-23
    assert torch.equal(tables[1], old)

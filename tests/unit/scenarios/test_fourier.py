"""The leading half of a spectrum: three ways, one result, samples kept apart, and every published mistake refused."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.gang import Gang
from harness.scenario import Facts, Work
from harness.work.counting import Count, count
from scenarios.chapter.products.fourier import Fourier, dft
from tests.ranks import Ranks, gang

WAYS = ("full", "real", "matrix")
cpu = torch.device("cpu")


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=9))
def test_the_reference_is_the_definition(numbers: list[float]) -> None:
    n, half = len(numbers), len(numbers) // 2 + 1
    exact = [sum(x * cmath.exp(-2j * math.pi * j * k / n) for j, x in enumerate(numbers)) for k in range(half)]
    told = dft(torch.tensor([numbers]), half)
    torch.testing.assert_close(told, torch.tensor([exact], dtype=torch.complex128), rtol=1e-12, atol=1e-10)


def energy(spectrum: torch.Tensor, n: int) -> torch.Tensor:
    """The energy of ``n`` real numbers a row, by Parseval from half a spectrum: all but its ends count twice."""
    each = spectrum.abs().square() / n
    ends = [0, n // 2] if n % 2 == 0 else [0]
    return 2 * each.sum(1) - each[:, ends].sum(1)


@given(st.integers(1, 3), st.integers(1, 40), st.integers(0, 9))
def test_the_reference_keeps_sum_and_energy_and_takes_samples_apart(batch: int, n: int, seed: int) -> None:
    x = torch.randn(batch, n, generator=torch.Generator().manual_seed(seed)).double()
    spectrum = dft(x, n // 2 + 1)
    torch.testing.assert_close(spectrum[:, 0], x.sum(1) + 0j)
    torch.testing.assert_close(energy(spectrum, n), x.square().sum(1))
    torch.testing.assert_close(dft(x.flip(0), n // 2 + 1), spectrum.flip(0))


@pytest.mark.parametrize("n", [8, 9])
def test_half_a_spectrum_tells_the_data_and_without_nyquist_it_does_not(n: int) -> None:
    x = torch.randn(3, n, dtype=torch.float64)
    torch.testing.assert_close(torch.fft.irfft(dft(x, n // 2 + 1), n), x)
    assert not torch.allclose(torch.fft.irfft(dft(x, n // 2), n), x)


def test_the_reference_has_its_digits_where_angles_are_large() -> None:
    n = 4099
    tone = torch.cos(2 * math.pi * (torch.arange(n) * 2000 % n).double() / n)[None]
    spectrum = dft(tone, n // 2 + 1)
    assert spectrum[0, 2000].real.item() == pytest.approx(n / 2, rel=1e-12)
    spectrum[0, 2000] = 0
    assert spectrum.abs().max() < 1e-8


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 256, 257])
def test_every_way_passes_its_check_at_even_odd_and_prime_sizes(way: str, size: int) -> None:
    workload = Fourier(batch=5, size=size, way=way).prepare(gang(0, 1))
    workload.check(workload.step())


@pytest.mark.parametrize("way", WAYS)
def test_leading_dimensions_are_left_alone(way: str) -> None:
    layer, x = Fourier(size=16, way=way).layer(cpu), torch.randn(2, 3, 16)
    together = layer(x)
    assert together.shape == (2, 3, 9)
    torch.testing.assert_close(together[1, 2], layer(x[1, 2]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(16,), (5, 16), (2, 3, 16), (2, 3, 4, 16), (2, 3, 4, 15), (15,)])
def test_one_two_and_four_dimensions_keep_their_precision(way: str, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=dtype)
    spectrum, half = Fourier(size=shape[-1], way=way).layer(cpu)(x), shape[-1] // 2 + 1
    assert spectrum.shape == (*shape[:-1], half)
    assert spectrum.dtype == {torch.float32: torch.complex64, torch.float64: torch.complex128}[dtype]
    error = 1e-5 if dtype == torch.float32 else 1e-13
    exact = dft(x.reshape(-1, shape[-1]), half).reshape(spectrum.shape)
    torch.testing.assert_close(spectrum.to(exact.dtype), exact, rtol=error, atol=20 * error)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(16,), (5, 16), (2, 3, 4, 15)])
def test_complex_data_have_a_leading_half_only_by_the_full_transform(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    x = torch.randn(shape, dtype=dtype)
    spectrum = Fourier(size=shape[-1], way="full").layer(cpu)(x)
    assert spectrum.dtype == dtype
    parts = [dft(part.reshape(-1, shape[-1]), shape[-1] // 2 + 1) for part in (x.real, x.imag)]
    error = 1e-5 if dtype == torch.complex64 else 1e-13
    found, exact = spectrum.to(torch.complex128).reshape(parts[0].shape), parts[0] + 1j * parts[1]
    torch.testing.assert_close(found, exact, rtol=error, atol=20 * error)
    for way in ("real", "matrix"):
        with pytest.raises(RuntimeError):
            Fourier(size=shape[-1], way=way).layer(cpu)(x)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 8, 15])
def test_an_impulse_has_every_frequency_and_samples_do_not_meet(way: str, size: int) -> None:
    layer, impulse, x = Fourier(size=size, way=way).layer(cpu), torch.zeros(2, size), torch.randn(5, size)
    impulse[:, -1] = 1
    torch.testing.assert_close(layer(impulse).abs(), torch.ones(2, size // 2 + 1))
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(layer(x[order]), layer(x)[order])
    torch.testing.assert_close(layer(x)[:, 0], x.sum(1) + 0j)


def test_half_a_spectrum_does_not_tell_complex_data_and_no_real_transform_takes_them() -> None:
    x, half = torch.randn(3, 16, dtype=torch.complex64), 9
    spectrum = torch.fft.fft(x)
    spectrum[:, half:] += 1
    other = torch.fft.ifft(spectrum)
    cut = Fourier(size=16, way="full").layer(cpu)
    torch.testing.assert_close(cut(x), cut(other))
    assert (x - other).abs().max() > 0.1
    for way in ("real", "matrix"):
        with pytest.raises(RuntimeError):
            Fourier(size=16, way=way).layer(cpu)(x)


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_out_is_complex_and_no_linear_layer_takes_it(way: str) -> None:
    spectrum = Fourier(size=16, way=way).layer(cpu)(torch.randn(3, 16))
    assert spectrum.dtype == torch.complex64
    with pytest.raises(RuntimeError, match="dtype"):
        torch.nn.Linear(9, 2)(spectrum)


def test_only_the_cut_keeps_coefficients_that_nobody_asked_for() -> None:
    told = {}
    for way in WAYS:
        workload = Fourier(batch=6, size=16, way=way).prepare(gang(0, 1))
        told[way] = workload.check(workload.step())
    half = {"coefficients": 9, "kept_bytes": 6 * 9 * 8}
    assert told == {"full": half | {"kept_bytes": 6 * 16 * 8}, "real": half, "matrix": half}


def on_a_rank(mine: Gang, way: str, batch: int) -> tuple[torch.Tensor, Facts | None, Work, Count]:
    workload = Fourier(batch=batch, size=16, way=way).prepare(mine)
    spectrum = workload.step()
    return spectrum.contiguous(), workload.check(spectrum), workload.work, count(workload.step)


@pytest.mark.parametrize("batch", [6, 5, 1])  # divisible; not; a rank without a sample
@pytest.mark.parametrize("way", WAYS)
def test_two_ranks_share_the_samples_and_nothing_is_sent(two_ranks: Ranks, way: str, batch: int) -> None:
    spectrum, facts, work, done = on_a_rank(gang(0, 1), way, batch)
    assert (work.flops, work.items, work.unit) == (0, batch, "transform")
    assert work.bytes == batch * (16 * 4 + 9 * 8)
    assert done.flops == (2 * batch * 16 * 18 if way == "matrix" else 0)

    told = two_ranks.do(on_a_rank, way, batch)
    torch.testing.assert_close(torch.cat([mine[0] for mine in told]), spectrum)
    assert sum(mine[1]["kept_bytes"] for mine in told) == facts["kept_bytes"]
    assert sum(mine[2].items for mine in told) == work.items
    assert sum(mine[2].bytes for mine in told) == work.bytes
    assert sum(mine[3].flops for mine in told) == done.flops
    assert all(mine[3].traffic_bytes == mine[3].host_reads == 0 for mine in told)


def test_operands_are_the_same_bits_in_every_variant() -> None:
    spectra = []
    for way in WAYS:
        Fourier.layer, kept = lambda self, device: torch.clone, Fourier.layer
        try:
            spectra.append(Fourier(batch=3, size=8, way=way).prepare(gang(0, 1)).step())
        finally:
            Fourier.layer = kept
    assert torch.equal(spectra[0], spectra[1]) and torch.equal(spectra[1], spectra[2])


MISTAKES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "transformed over all dimensions": lambda x: torch.fft.fftn(x)[..., :9],
    "transformed along the batch": lambda x: torch.fft.fft(x, dim=0)[..., :9],
    "without the Nyquist frequency": lambda x: torch.fft.fft(x)[..., :8],
    "the Nyquist frequency left at zero": lambda x: torch.fft.rfft(x).index_fill(1, torch.tensor([8]), 0),
    "the trailing half": lambda x: torch.fft.fft(x)[..., 7:],
    "the whole spectrum": torch.fft.fft,
    "the other sign": lambda x: torch.fft.rfft(x).conj(),
    "scaled": lambda x: torch.fft.rfft(x, norm="ortho"),
    "samples in another order": lambda x: torch.fft.rfft(x.flip(0)),
    "one sample for all": lambda x: torch.fft.rfft(x[:1].expand_as(x)),
    "a sample too few": lambda x: torch.fft.rfft(x[1:]),
    "magnitudes": lambda x: torch.fft.rfft(x).abs() + 0j,
    "bfloat16": lambda x: torch.fft.rfft(x.bfloat16().float()),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_check_refuses(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    monkeypatch.setattr(Fourier, "layer", lambda self, device: MISTAKES[mistake])
    workload = Fourier(batch=16, size=16).prepare(gang(0, 1))  # batch = size: a wrong axis keeps the shape
    spectrum = workload.step()
    with pytest.raises(AssertionError):
        workload.check(spectrum)


def published(x: torch.Tensor) -> torch.Tensor:
    """All dimensions are transformed, and the third is cut."""
    return torch.fft.fftn(x)[:, :, : x.shape[2] // 2]


def test_the_published_layer_has_no_output_for_rows_and_the_wrong_one_for_batches_of_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fourier, "layer", lambda self, device: published)
    with pytest.raises(IndexError):  # so that its status is error
        Fourier(batch=4, size=16).prepare(gang(0, 1)).step()
    for rows in (torch.randn(16), torch.randn(4, 16)):
        with pytest.raises(IndexError):
            published(rows)
    assert published(torch.randn(2, 3, 4, 16)).shape == (2, 3, 2, 16)  # another dimension is cut
    assert published(torch.randn(4, 3, 15)).shape == (4, 3, 7)  # eight tell the data
    assert published(torch.randn(4, 3, 1)).shape == (4, 3, 0)  # where one does
    x = torch.randn(4, 3, 16)
    changed = torch.cat([x[:3], x[3:] + 1])
    assert not torch.allclose(published(x)[0], published(changed)[0])  # a sample depends on the others
    assert torch.allclose(published(x[:1, :1]), torch.fft.fft(x[:1, :1])[..., :8], atol=1e-5)


def test_a_spectrum_of_earlier_samples_is_wrong() -> None:
    workload = Fourier(batch=5, size=16).prepare(gang(0, 1))
    early = workload.step()
    workload.check(early)
    workload.reset()
    with pytest.raises(AssertionError, match="relative error"):
        workload.check(early)
    workload.check(workload.step())


@pytest.mark.parametrize("way", WAYS)
def test_gradients_pass_through_every_way(way: str) -> None:
    x = torch.randn(3, 16, requires_grad=True)
    slopes = torch.randn(3, 9, dtype=torch.complex64)
    (mine,) = torch.autograd.grad(Fourier(size=16, way=way).layer(cpu)(x), x, slopes)
    (due,) = torch.autograd.grad(dft(x, 9), x, slopes.to(torch.complex128))
    torch.testing.assert_close(mine, due, rtol=1e-5, atol=1e-5)


def elsewhere(mine: Gang) -> str:
    """What a rank is told that transforms its peer's samples."""
    workload = Fourier(batch=6, size=16).prepare(mine)
    other = Fourier(batch=6, size=16).prepare(gang(1 - mine.rank, 2))
    try:
        workload.check(other.step())
    except AssertionError as error:
        return str(error)
    return "right"


def test_the_samples_of_another_rank_are_wrong(two_ranks: Ranks) -> None:
    assert all("relative error" in told for told in two_ranks.do(elsewhere))


def test_over_all_dimensions_is_right_for_one_sample_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fourier, "layer", lambda self, device: MISTAKES["transformed over all dimensions"])
    workload = Fourier(batch=1, size=16).prepare(gang(0, 1))
    workload.check(workload.step())  # why a check needs more samples than one

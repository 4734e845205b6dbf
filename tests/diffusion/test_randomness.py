import os
import shutil
import subprocess
import sys
from hashlib import blake2b

import pytest
import torch
from scipy import stats

from rediffuse.diffusion import SampleNoise, counted_normal, counted_normals, derive_seed, generator
from rediffuse.diffusion.randomness import philox4x32
from rediffuse.errors import UserError

F64 = torch.float64


# Known answers for philox4x32-10 from the Random123 distribution (kat_vectors).
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    words = philox4x32([torch.tensor([word]) for word in counter], key)
    assert tuple(int(word) for word in words) == expected


def test_philox_leaves_its_counter_unchanged():
    counter = [torch.tensor([5, 6]) for _ in range(4)]
    philox4x32(counter, (1, 2))
    assert all(torch.equal(word, torch.tensor([5, 6])) for word in counter)


def test_a_broadcast_counter_gives_what_a_full_one_gives():
    rows, columns = torch.arange(3)[:, None], torch.arange(5)[None]
    full = [rows.expand(3, 5), columns.expand(3, 5), torch.full((3, 5), 7), columns.expand(3, 5)]
    brief = [rows, columns, torch.full((1, 1), 7), columns]
    for one, other in zip(philox4x32(full, (3, 4)), philox4x32(brief, (3, 4)), strict=True):
        assert torch.equal(one, other)


def test_the_normals_follow_from_the_philox_words_by_box_muller():
    seed = derive_seed(11, "noise")
    words = philox4x32([torch.tensor([v]) for v in (0, 9, 3, 0)], (seed & 0xFFFFFFFF, seed >> 32))
    u = torch.cat([(word.double() + 0.5) / 2**32 for word in words])
    radius, angle = (-2 * u[[0, 2]].log()).sqrt(), 2 * torch.pi * u[[1, 3]]
    expected = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1).flatten()
    torch.testing.assert_close(
        counted_normal(11, torch.tensor([3]), 9, (4,), dtype=F64)[0], expected, rtol=1e-14, atol=0
    )


def test_seeds_are_stable_across_versions_of_this_code():
    assert derive_seed(0, "noise") == 6125456114070160038
    assert derive_seed(12, "a", -7) == int.from_bytes(blake2b(b"i2:12s1:ai2:-7", digest_size=8).digest(), "big") >> 1


def test_seeds_do_not_depend_on_the_hash_seed_of_python():
    code = "from rediffuse.diffusion.randomness import derive_seed; print(derive_seed(3, 'a', 4))"
    environment = {"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert int(run.stdout) == derive_seed(3, "a", 4)


@pytest.mark.parametrize(
    ("one", "other"), [((1, "ab", "c"), (1, "a", "bc")), ((1, 1), (1, "1")), ((1, 2, 3), (1, 23)), ((12,), (1, 2))]
)
def test_different_purposes_never_share_an_encoding(one, other):
    assert derive_seed(*one) != derive_seed(*other)


def test_seeds_fit_in_63_bits():
    assert all(0 <= derive_seed(seed, "x") < 2**63 for seed in range(200))


def test_generators_of_one_purpose_draw_the_same_numbers():
    draws = [torch.rand(5, generator=generator(4, "epoch", 2)) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (3,)])
def test_an_images_noise_does_not_depend_on_its_batch(shape, dtype):
    indices = torch.arange(150)
    whole = counted_normal(1, indices, 4, shape, dtype=dtype)
    for part in (slice(0, 1), slice(7, 20), slice(149, 150)):
        assert torch.equal(whole[part], counted_normal(1, indices[part], 4, shape, dtype=dtype))


def test_an_images_noise_does_not_depend_on_the_order_of_its_batch():
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        counted_normal(1, order, 0, (3, 16, 16)), counted_normal(1, torch.arange(300), 0, (3, 16, 16))[order]
    )


def test_an_images_noise_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    draws = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        draws.append(counted_normal(1, torch.arange(64), 3, (3, 32, 32), dtype=F64))
    torch.set_num_threads(before)
    assert torch.equal(*draws)


def test_several_steps_at_once_equal_one_at_a_time():
    indices = torch.tensor([5, 2, 9])
    together = counted_normals(1, indices, [3, 0, 8], (2, 5), dtype=F64)
    for row, step in zip(together, (3, 0, 8), strict=True):
        assert torch.equal(row, counted_normal(1, indices, step, (2, 5), dtype=F64))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_compiled_kernel_makes_the_same_noise(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        pytest.skip("there is no C++ compiler")
    # Logarithms, sines and cosines of float64 may differ in their last bits, which float32 does not hold.
    for seed, count in ((1, 40), (2, 7)):
        plain, compiled = (
            counted_normals(seed, torch.arange(count), [3, 4], (3, 8, 8), dtype=F64, device=device, compiled=compiled)
            for compiled in (False, True)
        )
        torch.testing.assert_close(compiled, plain, rtol=1e-14, atol=1e-15)
        assert torch.equal(compiled.float(), plain.float())


@pytest.mark.parametrize(
    "other",
    [
        counted_normal(2, torch.arange(4), 0, (8,)),
        counted_normal(1, torch.arange(4), 1, (8,)),
        counted_normal(1, torch.arange(4) + 2**32, 0, (8,)),
        counted_normal(1, torch.arange(4), 0, (8,), purpose="other"),
    ],
    ids=["seed", "step", "index beyond 32 bits", "purpose"],
)
def test_every_part_of_the_count_changes_the_noise(other):
    assert not torch.isclose(counted_normal(1, torch.arange(4), 0, (8,)), other).any()


def test_the_noise_is_normal():
    # Kolmogorov-Smirnov on 400,000 draws: D is about 1.36/sqrt(n) = 0.0022 at the 5 % level; a fixed seed, so no flake.
    noise = counted_normal(0, torch.arange(1000), 0, (400,), dtype=F64).flatten().numpy()
    assert stats.kstest(noise, "norm").pvalue > 0.01
    assert abs(stats.kurtosis(noise)) < 0.03


def test_neighbouring_pixels_steps_and_images_are_uncorrelated():
    # 1/sqrt(200,000) = 0.0022 is one standard deviation of each correlation.
    a = counted_normals(0, torch.arange(501), [0, 1], (400,), dtype=F64)
    for one, other in ((a[0, :-1], a[0, 1:]), (a[0], a[1]), (a[0, :, :-1], a[0, :, 1:]), (a[0, :, :-2], a[0, :, 2:])):
        assert abs(float((one * other).mean())) < 0.009


def test_an_empty_batch_gives_no_noise():
    assert counted_normal(0, torch.arange(0), 0, (3, 2)).shape == (0, 3, 2)


@pytest.mark.parametrize("step", [-1, 2**32])
def test_a_step_outside_32_bits_is_refused(step):
    with pytest.raises(UserError, match="step"):
        counted_normal(0, torch.arange(2), step, (3,))


def test_sample_noise_scales_initial_and_step_noise_by_their_temperatures():
    plain, scaled = (
        SampleNoise(1, torch.arange(3), (2, 4), initial_temperature=a, step_temperature=b)
        for a, b in ((1, 1), (0.5, 2))
    )
    torch.testing.assert_close(scaled.initial(), plain.initial() * 0.5)
    torch.testing.assert_close(scaled.step(3), plain.step(3) * 2)


def test_sample_noise_draws_initial_and_step_noise_apart():
    noise = SampleNoise(1, torch.arange(3), (2, 4))
    assert not torch.isclose(noise.initial(), noise.step(0)).any()


def test_sample_noise_is_the_counted_noise_of_its_step():
    indices = torch.tensor([4, 1])
    noise = SampleNoise(3, indices, (2, 4), dtype=F64)
    for k in (0, 1, 17):
        assert torch.equal(noise.step(k), counted_normal(3, indices, k, (2, 4), purpose="step", dtype=F64))


def test_steps_made_ahead_are_the_same_and_may_be_overwritten_by_the_sampler():
    plain, ahead = (SampleNoise(1, torch.arange(3), (2, 4), step_temperature=0.5, steps_ahead=n) for n in (1, 4))
    for k in (0, 1, 0, 6, 5, 6):
        noise = ahead.step(k)
        assert torch.equal(noise, plain.step(k))
        noise.zero_()


def test_sample_noise_may_be_drawn_in_any_order_and_again():
    noise = SampleNoise(1, torch.arange(3), (2, 4))
    first = noise.step(5)
    noise.step(0), noise.initial()
    assert torch.equal(noise.step(5), first)


def test_a_negative_temperature_is_refused():
    with pytest.raises(UserError, match="step_temperature"):
        SampleNoise(1, torch.arange(3), (2,), step_temperature=-1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_noise_made_on_a_gpu_equals_that_made_on_a_cpu():
    indices = torch.arange(16)
    cpu, gpu = (SampleNoise(1, indices, (3, 8, 8), dtype=F64, device=device) for device in ("cpu", "cuda"))
    torch.testing.assert_close(gpu.step(11).cpu(), cpu.step(11), rtol=1e-13, atol=1e-14)

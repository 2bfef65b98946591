"""What the tests of several methods share."""

import pytest

import suppress


@pytest.fixture
def check_batch(sd):
    """A check: a batch on both engines is each job alone, and the method changes more than `least` of the latents."""

    def check(jobs, settings, least=0.1):
        fast, plain = (suppress.run_batch(sd, jobs, settings=settings, engine=name) for name in ("fast", "reference"))
        for job, *results in zip(jobs, fast, plain, strict=True):
            [alone] = suppress.run_batch(sd, [job], settings=settings, engine="reference")
            for result in results:
                assert (result.latents - alone.latents).abs().max() < 1e-3
                assert (result.original_latents - alone.original_latents).abs().max() < 1e-3
            assert (alone.latents - alone.original_latents).abs().max() > least

    return check

"""The pool of generated images gives back older ones, and goes on where a state left it."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.training.image_pool import ImagePool

CPU = torch.device("cpu")


def image(value: float) -> Tensor:
    return torch.full((1, 3, 2, 2), value)


def test_a_pool_that_is_not_full_gives_back_what_it_gets() -> None:
    pool = ImagePool(3, (0,), CPU)
    for step in range(3):
        assert torch.equal(pool.exchange(image(step / 8), step), image(step / 8))
    kept = pool.capture()
    assert kept is not None
    assert kept[:, 0, 0, 0].tolist() == [0, 1 / 8, 2 / 8]


def test_a_full_pool_gives_back_older_images_half_of_the_time_and_keeps_the_new_ones() -> None:
    pool = ImagePool(4, (0,), CPU)
    values = [step / 512 for step in range(404)]
    given = [float(pool.exchange(image(v), step)[0, 0, 0, 0]) for step, v in enumerate(values)]
    older = [now != new for now, new in zip(given, values, strict=True)][4:]
    assert 150 < sum(older) < 250  # 200 of 400; the standard deviation is 10
    # No image comes twice: one that is given back is no longer in the pool.
    replaced = [v for v, is_older in zip(given[4:], older, strict=True) if is_older]
    assert len(set(replaced)) == len(replaced)
    kept = pool.capture()
    assert kept is not None and len(kept) == 4
    assert not set(kept[:, 0, 0, 0].tolist()) & set(replaced)


def test_a_restored_pool_goes_on_alike() -> None:
    whole, before = ImagePool(2, (5,), CPU), ImagePool(2, (5,), CPU)
    for step in range(6):
        whole.exchange(image(step / 16), step)
        before.exchange(image(step / 16), step)
    after = ImagePool(2, (5,), CPU)
    after.restore(before.capture())
    for step in range(6, 40):
        new = image(step / 64)
        assert torch.equal(whole.exchange(new, step), after.exchange(new, step))


def test_a_pool_of_no_images_gives_back_the_new_ones() -> None:
    pool = ImagePool(0, (0,), CPU)
    for step in range(5):
        assert torch.equal(pool.exchange(image(step / 8), step), image(step / 8))
    assert pool.capture() is None

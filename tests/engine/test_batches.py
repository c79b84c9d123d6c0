"""How samples become batches: each once, x′ for x, and augmentation as pad, crop and flip."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aat_explore.engine.batches import Augmentation, Batch, ImageSet, schedule


def batches_of(*args, **options):
    """The batches of an epoch as its table and sizes give them."""
    options.setdefault("generator", torch.Generator().manual_seed(0))
    plan = schedule(*args, **options)
    return [Batch.of(columns, size) for columns, size in zip(plan.table, plan.sizes, strict=True)]


@given(
    num_train=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    treatment=st.sampled_from(["replace", "half", "add"]),
    num_recorded=st.integers(0, 20),
    data=st.data(),
)
def test_an_epoch_holds_each_sample_once_and_each_drawn_sample_perturbed_once(
    num_train, batch_size, treatment, num_recorded, data
):
    drawn = data.draw(st.lists(st.integers(0, num_train - 1), unique=True))
    batches = batches_of(
        num_train, torch.tensor(drawn, dtype=torch.int64), batch_size, treatment=treatment, num_recorded=num_recorded
    )
    rows = torch.cat([batch.rows for batch in batches]).tolist()
    expected = list(range(num_train)) + (drawn if treatment == "add" else [])
    assert sorted(rows) == sorted(expected)
    assert [len(batch.rows) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    perturbed = [
        (int(row), int(slot))
        for batch in batches
        for row, slot in zip(batch.rows, batch.slots, strict=True)
        if slot >= 0
    ]
    assert sorted(perturbed) == sorted((row, slot) for slot, row in enumerate(drawn))
    assert all(torch.equal(batch.positions, (batch.slots >= 0).nonzero().flatten()) for batch in batches)
    recorded = torch.cat([batch.slots[batch.positions][batch.recorded] for batch in batches])
    assert sorted(recorded.tolist()) == list(range(min(num_recorded, len(drawn))))


def test_added_copies_leave_the_clean_samples_clean():
    (batch,) = batches_of(5, torch.tensor([3]), 10, treatment="add")
    clean = set(range(6)) - set(batch.positions.tolist())
    assert sorted(batch.rows[list(clean)].tolist()) == [0, 1, 2, 3, 4]


def test_shuffles_differ_by_generator():
    one, two = (
        batches_of(100, torch.arange(0), 100, treatment="replace", generator=torch.Generator().manual_seed(seed))[0]
        for seed in (0, 1)
    )
    assert not torch.equal(one.rows, two.rows)


def test_each_sample_keeps_its_augmentation_in_the_batches():
    moves = Augmentation.random(25, torch.Generator().manual_seed(0))
    batches = batches_of(25, torch.tensor([3, 4]), 10, treatment="half", augmentation=moves)
    for name in ("top", "left", "flip"):
        assert torch.equal(torch.cat([getattr(batch.augmentation, name) for batch in batches]), getattr(moves, name))


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_is_pad_crop_and_flip(channels):
    images = torch.rand(40, channels, 8, 8)
    augmentation = Augmentation.random(40, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    for k, image in enumerate(augmentation(images)):
        top, left = int(augmentation.top[k]), int(augmentation.left[k])
        crop = padded[k, :, top : top + 8, left : left + 8]
        assert torch.equal(image, crop.flip(-1) if augmentation.flip[k] else crop)


def test_undoing_an_augmentation_puts_each_pixel_back_where_it_was():
    images = torch.rand(40, 3, 8, 8) + 1
    augmentation = Augmentation.random(40, torch.Generator().manual_seed(0))
    back = augmentation.undo(augmentation(images))
    kept = back > 0
    assert torch.equal(back[kept], images[kept])
    assert 0.4 < float(kept.double().mean()) < 1


def test_augmentation_moves_every_way():
    augmentation = Augmentation.random(2000, torch.Generator().manual_seed(0))
    assert set(augmentation.top.tolist()) == set(augmentation.left.tolist()) == set(range(9))
    assert 0.4 < float(augmentation.flip.double().mean()) < 0.6


def test_a_part_of_an_augmentation_treats_its_samples_alike():
    """A sample's x′ is cropped and flipped as its x was."""
    images = torch.rand(10, 1, 8, 8)
    augmentation = Augmentation.random(10, torch.Generator().manual_seed(0))
    part = torch.tensor([7, 2])
    assert torch.equal(augmentation[part](images[part]), augmentation(images)[part])


def test_channel_statistics_are_the_pixels_mean_and_sd():
    images = torch.randint(0, 256, (50, 3, 6, 6), dtype=torch.uint8)
    mean, sd = ImageSet(images, torch.zeros(50, dtype=torch.int64)).channel_statistics()
    values = images.double() / 255
    torch.testing.assert_close(torch.tensor(mean), values.mean((0, 2, 3)).float())
    torch.testing.assert_close(torch.tensor(sd), values.std((0, 2, 3), correction=0).float())

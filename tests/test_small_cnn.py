"""The supervised yardstick: it learns places, the seed decides, and it leaves the caller's random state alone."""

import numpy as np
import pytest
import torch

from ssacl_lib.baselines.small_cnn import predict_cnn, train_cnn
from ssacl_lib.metrics.intervals import mean_auc


def squares(count, seed):
    """Noise with a brighter square on the left and/or on the right: images uint8 [n, 32, 32], truth [n, 2]."""
    generator = np.random.default_rng(seed)
    truth = generator.random((count, 2)) < 0.5
    images = generator.normal(100, 25, (count, 32, 32))
    for column, there in zip((4, 20), truth.T, strict=True):
        images[there, 12:20, column : column + 8] += 40
    return images.clip(0, 255).astype(np.uint8), truth


def test_it_learns_where_a_sign_is_from_an_array_or_a_function():
    images, truth = squares(256, 0)
    state = torch.get_rng_state()
    model = train_cnn(images, truth, 1024, seed=1, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    unseen, present = squares(128, 1)
    probabilities = predict_cnn(model, unseen, batch=50)
    assert probabilities.shape == (128, 2) and not model.training
    assert mean_auc(probabilities, present, resamples=10)[1].value > 0.95
    same = train_cnn(lambda rows: images[rows], truth, 1024, seed=1, progress=False)
    assert np.array_equal(predict_cnn(same, unseen, batch=50), probabilities)
    other = train_cnn(images, truth, 1024, seed=2, progress=False)
    assert not np.array_equal(predict_cnn(other, unseen), probabilities)


def test_images_and_truth_have_to_fit():
    images, truth = squares(8, 0)
    with pytest.raises(ValueError, match="8 images and 7 rows"):
        train_cnn(images, truth[:7], 8, progress=False)
    with pytest.raises(ValueError, match=r"float32 of shape \(8, 32, 32\), expected uint8"):
        train_cnn(images.astype(np.float32), truth, 8, progress=False)

"""Maps: masked evidence finds a planted patch, smoothing keeps what it should, prompts change reports only through the prefix."""

import numpy as np
import torch

from ssacl_lib.inference import evidence_to_image, random_keeps, smooth, visibility_effect
from ssacl_lib.model import SSACLConfig
from ssacl_lib.model.encoder import visible_patches


class Stand:
    """What the map functions need of a model."""

    def __init__(self, image_size=64, patch_size=8):
        self.config = SSACLConfig(image_size=image_size, patch_size=patch_size)
        self.device = torch.device("cpu")


def test_visibility_effect_is_the_planted_effect():
    model = Stand()
    keeps = random_keeps(model, 4000, seed=0)
    visible = visible_patches(keeps, 64)
    planted = torch.zeros(64)
    planted[[9, 30]] = torch.tensor([1.0, -0.5])
    effect = visibility_effect((visible @ planted)[None, :, None], keeps, 64)[0, 0]
    assert effect.argmax() == 9 and effect.argmin() == 30
    # with half of the patches kept, a patch's visibility says a little of the others': effects shrink by 1 / (N - 1)
    torch.testing.assert_close(effect, planted - (planted.sum() - planted) / 63, atol=0.06, rtol=0)


def test_masks_depend_on_the_seed_alone_and_keep_half():
    model = Stand()
    assert torch.equal(random_keeps(model, 8, 3), random_keeps(model, 8, 3))
    assert not torch.equal(random_keeps(model, 8, 3), random_keeps(model, 8, 4))
    assert (visible_patches(random_keeps(model, 8, 3), 64).sum(1) == 32).all()


def test_smoothing():
    spike = torch.zeros(1, 8, 8)
    spike[0, 4, 4] = 1
    assert torch.equal(smooth(spike, 0), spike)
    wide = smooth(spike, 1.0)
    torch.testing.assert_close(wide.sum(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert wide[0, 4, 4] == wide.max() and torch.allclose(wide, wide.transpose(1, 2))
    flat = torch.ones(1, 8, 8)
    torch.testing.assert_close(smooth(flat, 1.5), flat)
    assert smooth(flat, 1.5, "constant")[0, 0, 0] < 0.5


def test_evidence_near_the_border_stays_where_it_is():
    model = Stand()
    effect = torch.zeros(1, 1, 64)
    effect[0, 0, 2 * 8 + 6] = 1.0  # row 2, column 6
    effect[0, 0, 2 * 8 + 7] = 0.8
    heat = evidence_to_image(effect, model)[0, 0].numpy()
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 16 <= row < 24 and 48 <= column < 60
    shifted = evidence_to_image(effect + 5, model)[0, 0].numpy()
    np.testing.assert_allclose(shifted, heat, atol=1e-4)

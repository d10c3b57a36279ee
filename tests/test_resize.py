from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srup.resize import PART, imresize


def dense(length: int, scale: float) -> np.ndarray:
    """The resize of one axis as a matrix, from the kernel's definition, with mirrored edges."""
    after, widening = int(np.ceil(length * scale)), min(scale, 1.0)

    def kernel(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        if x <= 2:
            return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return 0.0

    matrix = np.zeros((after, length))
    for row in range(after):
        centre = (row + 0.5) / scale - 0.5
        for tap in range(int(centre - 4 / widening) - 2, int(centre + 4 / widening) + 3):
            inside = tap % (2 * length)
            mirrored = min(inside, 2 * length - 1 - inside)
            matrix[row, mirrored] += widening * kernel(widening * (centre - tap))
    return matrix / matrix.sum(1, keepdims=True)


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 0.5, 0.7, 1.5, 2, 3.3])
def test_floats_agree_with_the_definition(scale: float) -> None:
    image = np.random.default_rng(0).random((23, 17))
    expected = dense(23, scale) @ image @ dense(17, scale).T
    assert np.allclose(imresize(image, scale=scale), expected, rtol=0, atol=1e-12)


def test_images_computed_in_several_parts() -> None:
    image = np.random.default_rng(0).random((9, PART // 3 + 50, 3))
    expected = np.stack([dense(9, 2) @ image[:, :, channel] for channel in range(3)], 2)
    wide = imresize(image, size=(image.shape[1], 18))
    assert np.allclose(wide, expected, rtol=0, atol=1e-12)
    high = imresize(image.transpose(1, 0, 2), size=(18, image.shape[1]))
    assert np.allclose(high, expected.transpose(1, 0, 2), rtol=0, atol=1e-12)


def test_a_flat_image_stays_flat() -> None:
    image = np.full((13, 9, 3), 200, np.uint8)
    for edges in ("mirror", "clamp"):
        assert (imresize(image, size=(31, 5), edges=edges) == 200).all()


def test_size_is_width_and_height() -> None:
    assert imresize(np.zeros((10, 20, 3), np.uint8), size=(7, 50)).shape == (50, 7, 3)


def test_one_pixel() -> None:
    assert (imresize(np.full((1, 1, 3), 7, np.uint8), size=(5, 4)) == 7).all()


@pytest.mark.parametrize(
    ("name", "edges", "folder"), [("Set5", "mirror", "HR"), ("Set14", "clamp", "HR_x{}")]
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_results_equal_matlab_s_bit_by_bit(
    shared: Path, name: str, edges: str, folder: str, scale: int
) -> None:
    for path in sorted((shared / "datasets" / name / f"LR_x{scale}").glob("*.png")):
        hr = np.asarray(Image.open(shared / "datasets" / name / folder.format(scale) / path.name))
        height, width = (length // scale * scale for length in hr.shape[:2])
        shrunk = imresize(hr[:height, :width], scale=1 / scale, edges=edges)  # type: ignore[arg-type]
        assert (shrunk == np.asarray(Image.open(path))).all(), path

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags
from PIL import Image as Pillow

import srup
from srup.errors import (
    EngineUnavailable,
    ScaleError,
    UnsoundResult,
    UsageError,
    WeightsMismatch,
)
from srup.images import Image, Pages, Provenance
from srup.images.colours import SRGB
from srup.inference.engines import Conversion
from srup.inference.engines.pytorch import tensor_of
from srup.inference.window_size import window_size
from srup.inference.windows import windows
from srup.models import registry
from srup.networks.stages import Stage
from srup.resize import imresize
from tests.conftest import digest, random_network, to_bytes
from tests.data.draw import draw
from tests.data.hostile import exif_of_tags

COLOURS = np.asarray(draw(48, 36))


@pytest.fixture
def random_weights(tmp_path: Path) -> Path:
    """A checkpoint for imdn-rtc that keeps its signals alive; the quickest network there is."""
    torch.save(random_network(registry.find("imdn-rtc")[2]).state_dict(), tmp_path / "random.pth")
    return tmp_path / "random.pth"


def test_it_comes_with_a_network() -> None:
    enlarged = srup.load(scale=2)(COLOURS)
    assert enlarged.shape == (72, 96, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_network_that_comes_with_it_beats_bicubic(scale: int) -> None:
    hr = np.asarray(draw(144, 96))
    lr = imresize(hr, scale=1 / scale)

    def error(sr: np.ndarray) -> float:
        return float(((sr.astype(float) - hr) ** 2).mean())

    assert error(srup.load("lite", scale=scale)(lr)) < error(imresize(lr, scale=scale))


def test_in_kind(photo: Path) -> None:
    enlarge = srup.load("lite", scale=2)
    expected = np.asarray(enlarge(photo))
    assert isinstance(enlarge(photo), Pillow.Image)
    assert (np.asarray(enlarge(str(photo))) == expected).all()
    assert (np.asarray(enlarge(Pillow.open(photo))) == expected).all()
    assert (enlarge(np.asarray(Pillow.open(photo))) == expected).all()
    assert (enlarge(srup.read_image(photo)).pixels == expected).all()


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3), (9, 7, 4), (1, 1, 3)])
def test_arrays_keep_their_shape(shape: tuple[int, ...]) -> None:
    enlarged = srup.load("lite", scale=2)(np.full(shape, 99, np.uint8))
    assert enlarged.shape == (shape[0] * 2, shape[1] * 2, *shape[2:])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [3, 4])
def test_floats_come_back_as_floats(kind: type[np.floating], channels: int) -> None:
    """As what they stand for in 16 bits, to the half of a level."""
    enlarge = srup.load("lite", scale=2)
    sixteen = np.zeros((36, 48, channels), np.uint16)
    sixteen[:, :, :3] = COLOURS.astype(np.uint16) * 257
    sixteen[:, :, 3:] = 65_535
    found = enlarge((sixteen / 65_535).astype(kind))
    assert found.dtype == kind
    assert found.min() >= 0 and found.max() <= 1
    tolerance = 2e-3 if kind == np.float16 else 2e-5
    assert np.abs(found.astype(float) - enlarge(sixteen) / 65_535).max() <= tolerance


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_may_run_backwards(dtype: type, channels: int) -> None:
    """As a picture does that is turned by `[::-1]`."""
    array = np.random.default_rng(0).integers(0, 200, (9, 7, channels)).astype(dtype)
    enlarge = srup.load("lite", scale=2)
    for turned in (array[::-1], array[:, ::-1], array[::2, ::-1], array.swapaxes(0, 1)):
        assert (enlarge(turned) == enlarge(turned.copy())).all()


def test_of_a_masked_array_the_values_are_enlarged() -> None:
    values = np.full((9, 7, 3), 99, np.uint8)
    masked, enlarge = np.ma.masked_array(values, values > 0), srup.load("lite", scale=1.5)
    assert (enlarge(masked) == enlarge(values)).all()


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (np.zeros((4, 4, 2), np.uint8), "uint8 (4, 4, 2)"),
        (np.zeros((4, 4, 7), np.uint8), "uint8 (4, 4, 7)"),
        (np.zeros(4, np.uint8), "uint8 (4,)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "uint8 (2, 4, 4, 3)"),
        (np.zeros((4, 4), ">u2"), ">u2 (4, 4)"),
        (np.full((4, 4, 3), 300), "int64 (4, 4, 3)"),
        (np.zeros((4, 4, 3), bool), "bool (4, 4, 3)"),
        (np.zeros((4, 4, 3), complex), "complex128 (4, 4, 3)"),
        (np.full((4, 4, 3), 255.0), "divide it by what stands for white"),
        (np.full((4, 4), np.nan), "from nan to nan"),
        (np.zeros((0, 4, 3), np.uint8), "uint8 (0, 4, 3)"),
        (np.zeros((4, 0), np.float32), "float32 (4, 0)"),
        (Pillow.new("RGB", (0, 3)), "0×3 pixels"),
        (Image(np.zeros((0, 3, 3), np.uint8)), "3×0 pixels"),
        ([[1, 2], [3, 4]], "type list"),
        (None, "type NoneType"),
        (7, "type int"),
        (b"photo.jpg", "type bytes"),
        (torch.zeros(3, 4, 4), "type Tensor"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(what: object, says: str) -> None:
    with pytest.raises(UsageError) as error:
        srup.load("lite")(what)  # type: ignore[call-overload]
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [(0, 5), (5,), (5, 6, 7), (5.5, 6), "50x40", 50])
def test_a_size_that_is_none(size: object) -> None:
    with pytest.raises(UsageError, match="width, height"):
        srup.load("lite")(COLOURS, size=size)  # type: ignore[call-overload]


@pytest.mark.parametrize("size", [(-1, 5), (math.nan, 3), (10**10, 1)])
def test_sizes_that_cannot_be(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"no side of a picture|width, height"):
        srup.load("lite")(np.zeros((4, 4), np.uint8), size=size)


def test_larger_than_32_times_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(ScaleError, match="at most 32 times"):
        srup.load("lite")(np.zeros((4, 4), np.uint8), size=(10**9, 10**9))


def test_the_network_is_a_module_and_its_stages_are_the_tilers() -> None:
    upscaler = srup.load("lite", scale=3, engine="pytorch", precision="fp32")
    image = tensor_of(COLOURS)
    with torch.no_grad():
        result = upscaler.network(image)
    assert result.shape == (1, 3, 108, 144)
    assert (to_bytes(result[0].permute(1, 2, 0).numpy()) == upscaler(COLOURS)).all()


@pytest.mark.parametrize("tile", [16, 32, "none", "auto"])
def test_windows_change_nothing(tile: int | str) -> None:
    expected = srup.load("lite", scale=2, tile="none")(COLOURS).astype(int)
    assert np.abs(srup.load("lite", scale=2, tile=tile)(COLOURS) - expected).max() <= 1


def test_grey_stays_grey() -> None:
    enlarged = srup.load("lite", scale=2)(Pillow.fromarray(COLOURS).convert("L"))
    assert enlarged.mode == "L"


def test_between_scales_the_next_larger_is_resized() -> None:
    larger = srup.load("lite", scale=3, engine="pytorch").network
    with torch.no_grad():
        result = larger(torch.from_numpy(COLOURS.copy()).permute(2, 0, 1)[None].float() / 255)
    expected = to_bytes(imresize(result[0].permute(1, 2, 0).numpy(), size=(120, 90)))
    assert (
        np.abs(srup.load("lite", scale=2.5, precision="fp32")(COLOURS).astype(int) - expected).max()
        <= 1
    )


def test_beyond_its_scales_networks_are_chained() -> None:
    upscaler = srup.load("lite", scale=6)
    assert [program.scale for program in upscaler.programs] == [2, 3]
    assert upscaler(COLOURS[:9, :8]).shape == (54, 48, 3)


def test_a_size_of_ones_own() -> None:
    assert srup.load("lite", scale=2)(COLOURS, size=(50, 41)).shape == (41, 50, 3)


def test_any_scale_restores_what_bicubic_enlarged(tmp_path: Path) -> None:
    """IMDN_AS sees the image at its target size."""
    torch.save(random_network(registry.find("imdn-as")[0]).state_dict(), tmp_path / "as.pth")
    assert srup.load("imdn-as", scale=3.3, weights=tmp_path / "as.pth")(COLOURS).shape == (
        119,
        158,
        3,
    )


@pytest.mark.parametrize(
    ("factor", "says"), [(0.0, "black"), (float("nan"), "NaN"), (float("inf"), "NaN")]
)
def test_what_is_no_picture_is_an_error(
    tmp_path: Path, factor: float, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    network = registry.build(registry.find("imdn-as")[0])
    torch.save(
        {name: tensor * factor for name, tensor in network.state_dict().items()},
        tmp_path / "as.pth",
    )
    enlarge = srup.load("imdn-as", scale=2, weights=tmp_path / "as.pth")
    with pytest.raises(UnsoundResult, match=says), caplog.at_level("WARNING", "srup"):
        enlarge(COLOURS)
    assert "once more in full precision" in caplog.text


@pytest.mark.parametrize("name", ["imdn-as", "imdn-rtc"])
def test_adaptive_cropping(name: str, tmp_path: Path) -> None:
    model = next(iter(registry.find(name).values()))
    torch.save(random_network(model).state_dict(), tmp_path / "random.pth")
    sizes = {
        tiling: srup.load(name, scale=2, weights=tmp_path / "random.pth", tiling=tiling)(
            COLOURS
        ).shape
        for tiling in ("acs", "exact")
    }
    assert sizes == {"acs": (72, 96, 3), "exact": (72, 96, 3)}


def test_no_halo_around_what_is_cut_out() -> None:
    """A red disc on transparent black: over white and over black no colour but red and the ground's
    shows beyond a pixel.
    """
    y, x = np.mgrid[:40, :40]
    alpha = ((x - 20) ** 2 + (y - 20) ** 2 < 150).astype(np.uint8) * 255
    pixels = np.where(alpha[:, :, None] > 0, np.array([220, 20, 20]), 0).astype(np.uint8)
    enlarged = srup.load("lite", scale=4)(Image(pixels, alpha))
    assert enlarged.alpha is not None
    inside = enlarged.alpha > 0
    assert np.abs(enlarged.pixels[inside].astype(int) - [220, 20, 20]).max() <= 12


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("ground", [0, 255])
def test_no_fringe_over_black_or_white(soft: bool, ground: int) -> None:
    """Composed over a ground, a red disc cut out of transparent black is red or ground, but for one
    input pixel at its edge.
    """
    scale, (y, x) = 4, np.mgrid[:160, :160]
    distance = np.hypot(x - 79.5, y - 79.5) / 4  # in input pixels
    (ys, xs) = np.mgrid[:40, :40]
    cover = (
        np.clip(12.5 - np.hypot(xs - 19.5, ys - 19.5), 0, 1)
        if soft
        else np.hypot(xs - 19.5, ys - 19.5) < 12
    )
    alpha = np.round(cover * 255).astype(np.uint8)
    pixels = np.where(alpha[:, :, None] > 0, np.array([220, 20, 20]), 0).astype(np.uint8)
    enlarged = srup.load("lite", scale=scale)(Image(pixels, alpha))
    assert enlarged.alpha is not None
    share = enlarged.alpha[:, :, None] / 255
    over = enlarged.pixels * share + ground * (1 - share)
    assert np.abs(over[distance < 10.5] - [220, 20, 20]).max() <= 12
    assert np.abs(over[distance > 14] - ground).max() <= 12
    edge = over[
        (distance > 10.5) & (distance < 14)
    ]  # in between: mixtures of the two and nothing else
    mixture = (edge[:, :1] - ground) / (220 - ground)
    assert np.abs(edge - (np.array([220, 20, 20]) * mixture + ground * (1 - mixture))).max() <= 25


def test_pages_beyond_the_memory_allowed_lie_on_disk() -> None:
    pages = Pages((Image(COLOURS), Image(COLOURS[:20]), Image(COLOURS[:, :30])))
    upscaler = srup.load("lite", scale=2)
    expected, found = upscaler(pages), replace(upscaler, memory_budget=30_000)(pages)
    for one, other in zip(expected.images, found.images, strict=True):
        assert (one.pixels == other.pixels).all()


def test_pages_in_16_bits_resized() -> None:
    image = Image(COLOURS.astype(np.uint16) * 257)
    enlarged = srup.load("lite", scale=2.5)(image)  # in float32 unless told otherwise
    eight = srup.load("lite", scale=2.5, precision="fp32")(Image(COLOURS))
    assert enlarged.pixels.dtype == np.uint16
    assert np.abs(enlarged.eight().pixels.astype(int) - eight.pixels).max() <= 1
    assert len(np.unique(enlarged.pixels)) > 256


def test_metadata_travels() -> None:
    enlarged = srup.load("lite", scale=2)(
        Image(COLOURS, icc=b"profile", exif=b"Exif", dpi=(72, 72))
    )
    assert (enlarged.icc, enlarged.exif, enlarged.dpi) == (b"profile", b"Exif", (72, 72))


def test_results_say_what_made_them() -> None:
    photo = srup.load("lite-photo", scale=6, strength=0.5, precision="fp32", self_ensemble=True)
    made = photo(Image(COLOURS[:9, :8])).provenance
    assert made == Provenance(
        srup.__version__,
        network="lite-photo x2 x3",
        scale="6",
        precision="fp32",
        strength="0.5",
        source_size="8x9",
        self_ensemble="yes",
    )
    pages = srup.load("lite", scale=2)(Pages((Image(COLOURS), Image(COLOURS[:20]))))
    sizes = [page.provenance and page.provenance.source_size for page in pages.images]
    assert sizes == ["48x36", "48x20"]


def test_a_checkpoint_of_ones_own_is_named_by_its_digest(random_weights: Path) -> None:
    made = srup.load("imdn-rtc", scale=2, weights=random_weights)(Image(COLOURS)).provenance
    assert made and digest(random_weights).removeprefix("sha256:").startswith(made.weights)
    assert len(made.weights) == 16


def test_16_bits_are_computed_in_full_and_said_so() -> None:
    made = srup.load("lite", scale=2)(Image(COLOURS.astype(np.uint16))).provenance
    assert made and made.precision == "fp32"


def test_a_file_says_what_python_made_of_it(tmp_path: Path) -> None:
    pages = srup.load("lite", scale=2)(Pages((Image(COLOURS),)))
    srup.write_pages(pages, tmp_path / "a.png")
    assert srup.read_image(tmp_path / "a.png").provenance == pages.images[0].provenance


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif", "avif"])
def test_a_pillow_image_is_saved_with_what_came_along(tmp_path: Path, extension: str) -> None:
    """Upright, with its size in EXIF, whatever Pillow itself forgets at saving."""
    block = Pillow.Exif()
    block[ExifTags.Base.Orientation] = 6
    block[ExifTags.Base.Artist] = "somebody"
    block[ExifTags.IFD.Exif] = {ExifTags.Base.ExifImageWidth: 48}
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    along = {"exif": block, "xmp": xmp, "dpi": (300, 200), "icc_profile": SRGB}
    Pillow.fromarray(COLOURS).save(tmp_path / "a.jpg", **along)
    opened = Pillow.open(tmp_path / "a.jpg")
    path = tmp_path / f"b.{extension}"
    srup.load("lite", scale=2)(opened).save(path)
    with Pillow.open(path) as saved:
        assert saved.size == (72, 96)
        found = saved.getexif()
        assert found.get(ExifTags.Base.Orientation, 1) == 1
        assert found[ExifTags.Base.Artist] == "somebody"
        assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == 72
        assert saved.info["xmp"] == xmp
        assert saved.info["icc_profile"] == SRGB
    read = srup.read_image(path)
    if extension in ("png", "jpg", "tif"):
        assert read.dpi == pytest.approx((200, 300), abs=0.1)


def test_a_pillow_image_is_saved_without_what_is_refused(tmp_path: Path) -> None:
    picture = Pillow.fromarray(COLOURS)
    picture.info["exif"] = exif_of_tags(ExifTags.Base.Artist)
    larger = srup.load("lite", scale=2)(picture)
    larger.save(tmp_path / "a.jpg", exif=b"", xmp=b"")
    with Pillow.open(tmp_path / "a.jpg") as saved:
        assert not {"exif", "xmp"} & set(saved.info)
    larger.info.pop("exif")
    with (tmp_path / "b").open("wb") as file:
        larger.save(file, "WEBP")
    with Pillow.open(tmp_path / "b") as saved:
        assert "exif" not in saved.info
        assert b"srup:Version" in saved.info["xmp"]


def test_a_tiff_file_is_not_broken_by_exif(tmp_path: Path) -> None:
    picture = Pillow.fromarray(COLOURS)
    picture.info["exif"] = exif_of_tags(*range(254, 300), value=9)
    srup.load("lite", scale=2)(picture).save(tmp_path / "a.tif")
    assert srup.read_image(tmp_path / "a.tif").size == (96, 72)


def test_exif_that_no_jpeg_can_hold_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture = Pillow.fromarray(COLOURS)
    picture.info["xmp"] = b"<x:xmpmeta>" + b" " * 70_000
    srup.load("lite", scale=2)(picture).save(tmp_path / "a.jpg")
    assert "cannot store" in caplog.text
    assert srup.read_image(tmp_path / "a.jpg").size == (96, 72)


@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": "4"},
        {"scale": True},
        {"name": 4},
        {"name": None},
        {"weights": 4},
        {"device": 0},
        {"engine": None},
        {"precision": 16},
        {"tiling": None},
        {"self_ensemble": "yes"},
        {"strength": "half"},
        {"strength": 2},
        {"strength": float("nan")},
        {"tile": 0},
        {"tile": "128"},
        {"precision": "int8"},
    ],
)
def test_wrong_arguments_are_told_in_one_line(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError) as error:
        srup.load(**arguments)  # type: ignore[arg-type]
    (name,) = arguments
    assert str(error.value).startswith(name)
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_are_numbers() -> None:
    assert srup.load("lite", scale=np.float32(2))(COLOURS).shape == (72, 96, 3)  # type: ignore[arg-type]


def test_what_cannot_be_loaded(random_weights: Path) -> None:
    with pytest.raises(ScaleError):
        srup.load("lite", scale=0.5)
    with pytest.raises(EngineUnavailable, match="device=cpu"):
        srup.load("lite", device="cuda:77")
    with pytest.raises(EngineUnavailable, match="no engine"):
        srup.load("lite", engine="steam")(COLOURS)
    with pytest.raises(WeightsMismatch):
        srup.load("lite", weights=random_weights)
    with pytest.raises(UsageError, match="smaller scale"):
        srup.load("imdn-rtc", scale=4, weights=random_weights)
    with pytest.raises(UsageError, match="tile"):
        srup.load("lite", tile="some")
    with pytest.raises(UsageError, match="tiling"):
        srup.load("lite", tiling="bathroom")


@pytest.mark.parametrize("sides", [(512, 768), (667, 1000), (500, 1100), (3000, 4000)])
def test_windows_leave_no_core_idle(sides: tuple[int, int]) -> None:
    """With 16 cores there are windows for most; with one core they are as large as can be."""
    lite = srup.load("lite", scale=2, engine="pytorch", device="cpu")
    program = replace(lite.programs[0], free=lambda: 64 << 30)
    stages = program.stages(Conversion(255, 255), False)

    def count(workers: int) -> int:
        size = window_size(replace(program, workers=workers), stages, "auto", *sides)
        return len(windows(*sides, size))

    assert count(1) == min(count(workers) for workers in (1, 2, 4, 8, 16))
    assert count(2) % 2 == 0
    rounds = math.ceil(count(16) / 16)
    assert count(16) > 0.7 * 16 * rounds


@pytest.mark.parametrize(("margin", "free", "least"), [(128, 64 << 30, 1024), (128, 1 << 30, 32)])
def test_windows_are_larger_where_a_network_sees_far(margin: int, free: int, least: int) -> None:
    lite = srup.load("lite", scale=2, engine="pytorch", device="cpu")
    program = replace(lite.programs[0], free=lambda: free, workers=1)
    stages = [Stage(lambda state, _: state, margin)]
    size = window_size(program, stages, "auto", 4000, 4000)
    assert size is not None
    assert size >= least
    assert (size > 512) == (least > 512)

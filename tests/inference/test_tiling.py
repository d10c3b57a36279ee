from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given as holds_for
from hypothesis import settings
from hypothesis import strategies as some
from torch import Tensor

from srup.errors import OutOfMemory
from srup.inference.allocation import Made, allocation, resident
from srup.inference.canvas import Canvas, MapSpec, canvas, given
from srup.inference.engines.pytorch import stages_on
from srup.inference.footprint import Outline, footprint, outlined
from srup.inference.overlapping import cropped
from srup.inference.tiling import Runner, advanced
from srup.inference.windows import Window, windows, windows_until_safe
from srup.models import registry
from srup.networks.layers import mean_and_deviation
from srup.networks.stages import Array, Stage, whole
from srup.progress import ignore
from tests.conftest import in_windows, random_network

Noise = Callable[[int, int], Tensor]


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(1, 1, 8), (100, 37, 16), (64, 64, 64), (65, 9, 8), (7, 7, None)]
)
def test_windows_make_up_the_image_once(
    height: int, width: int, size: int | None, stride: int
) -> None:
    covered = np.zeros((height, width))
    for window in windows(height, width, size, stride):
        window.of(covered)[...] += 1
        assert window.top % stride == window.left % stride == 0
        if size:
            assert max(window.height, window.width) <= -(-size // stride) * stride
    assert (covered == 1).all()


def test_windows_are_even() -> None:
    assert {window.width for window in windows(1, 520, 512)} == {260}


def test_a_grown_window_stays_inside() -> None:
    bounds = Window(0, 0, 10, 10)
    assert Window(2, 4, 6, 10).grown(3, bounds) == Window(0, 1, 9, 10)
    assert Window(2, 4, 6, 10).within(Window(0, 1, 9, 10)) == Window(2, 3, 6, 9)


@pytest.mark.parametrize("stride", [1, 4])
def test_a_window_is_cut_large_enough(stride: int) -> None:
    bounds = Window(0, 0, 100, 30)
    for window in windows(100, 30, 12, stride):
        cut = window.at_least(84, bounds, stride)
        assert cut.height >= 84 and cut.width == 30
        assert cut.top % stride == cut.left % stride == 0
        assert window.grown(0, cut) == window


def box(size: int) -> Callable[[list[Tensor], Tensor | None], list[Tensor]]:
    """A stage's run: a box blur with a zero border, after taking the mean that it was told away."""

    def run(state: list[Tensor], context: Tensor | None) -> list[Tensor]:
        x = state[-1] if context is None else state[-1] - context
        return [*state[:-1], F.avg_pool2d(x, 2 * size + 1, 1, size)]

    return run


def mean(strips: object) -> Tensor:
    return mean_and_deviation(strips)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [5, 8, 16, 100])
def test_a_map_is_written_over_only_when_nobody_reads_it_any_more(size: int, noise: Noise) -> None:
    """Margins larger than windows, in a map that keeps its shape."""
    stages = [Stage(box(1), 1, mean), Stage(box(7), 7, mean), Stage(box(6), 6)]
    image = noise(61, 47)
    assert torch.allclose(in_windows(stages, image, size), whole(stages, image), atol=1e-6)


def test_the_image_itself_is_left_alone(noise: Noise) -> None:
    image = noise(20, 20)
    before = image.clone()
    in_windows([Stage(box(1), 1), Stage(box(1), 1)], image, 8)
    assert (image == before).all()


def test_a_context_that_is_a_map_is_cut_as_the_state_is(noise: Noise) -> None:
    doubled = Stage(lambda state, _: state, 0, lambda strips: 2 * torch.cat(list(strips), 2))
    stages = [doubled, Stage(lambda state, context: [state[0] + context], 0)]  # type: ignore[operator]
    image = noise(20, 31)
    assert torch.equal(in_windows(stages, image, 8), 3 * image)


def test_a_window_that_does_not_fit_is_halved(noise: Noise) -> None:
    largest = []

    def run(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        if state[0].shape[-1] > 90:
            raise OutOfMemory("too large")
        largest.append(state[0].shape[-1])
        return box(1)(state, None)

    image = noise(300, 300)
    assert torch.allclose(
        in_windows([Stage(run, 1)], image), whole([Stage(box(1), 1)], image), atol=1e-6
    )
    assert 64 <= max(largest) <= 90


def test_a_window_of_64_that_does_not_fit_is_an_error(noise: Noise) -> None:
    def run(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        raise OutOfMemory("too large")

    with pytest.raises(OutOfMemory):
        in_windows([Stage(run, 0)], noise(200, 200))


def test_progress_ends_at_the_whole(noise: Noise) -> None:
    heard: list[tuple[float, float]] = []
    in_windows(
        [Stage(box(1), 1), Stage(box(1), 1)],
        noise(20, 20),
        10,
        progress=lambda done, total: heard.append((done, total)),
    )
    assert heard[0] == (0.25, 2)
    assert heard[-1] == (2, 2)
    assert heard == sorted(heard)


def test_a_canvas_on_disk_holds_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spec = MapSpec((1, 3, 50, 40), np.dtype(np.float32), on_disk=True)
    made = canvas(spec)
    assert (spec.resident, spec.nbytes) == (0, 4 * 6000)
    values = np.random.default_rng(0).random((1, 3, 50, 40), np.float32)
    made.array[...] = values
    made.release_pages()
    assert np.array_equal(np.concatenate(list(made.strips()), 2), values)
    assert not list(tmp_path.iterdir()), "a name is left behind"


def test_no_room_on_disk_says_so() -> None:
    with pytest.raises(OutOfMemory, match="TMPDIR"):
        canvas(MapSpec((1, 64, 1 << 20, 1 << 20), np.dtype(np.float32), on_disk=True))


def test_mean_and_deviation_of_strips(noise: Noise) -> None:
    image = noise(50, 40) + 1000  # where sums of squares would cancel
    mean, deviation = mean_and_deviation(image.split(7, 2))
    assert torch.allclose(mean, image.double().mean((2, 3), keepdim=True).float())
    assert torch.allclose(
        deviation, image.double().std((2, 3), correction=0, keepdim=True).float(), rtol=1e-4
    )


@pytest.mark.parametrize(("height", "width"), [(97, 130), (64, 64), (40, 500), (5, 6)])
@pytest.mark.parametrize("size", [None, 160])
def test_cropping_joins_crops_of_whole_multiples(
    height: int, width: int, size: int | None, noise: Noise
) -> None:
    image = noise(height, width).numpy()

    def enlarge(crop: np.ndarray) -> np.ndarray:
        assert crop.shape[-1] % 4 == crop.shape[-2] % 4 == 0 or min(height, width) < 64
        assert size is None or max(crop.shape[-2:]) <= size
        return crop.repeat(2, 2).repeat(2, 3)

    assert np.array_equal(
        cropped(enlarge, image, size=size, multiple=4), image.repeat(2, 2).repeat(2, 3)
    )


@pytest.mark.parametrize(
    ("name", "scale"), [pytest.param("imdn", 4, marks=pytest.mark.slow), ("rfdn", 4), ("lite", 2)]
)
def test_windows_at_a_time_change_nothing(name: str, scale: int, noise: Noise) -> None:
    """Canvases are written over while other windows are being computed, and still every one reads
    what it should.
    """
    network = random_network(registry.find(name)[scale])
    image = noise(150, 170)
    for memory in (1 << 40, 0):
        alone = in_windows(network.stages(), image, 40, memory=memory)
        assert torch.equal(in_windows(network.stages(), image, 40, memory=memory, workers=3), alone)


FLOAT = np.dtype(np.float32)
IMAGE = MapSpec((1, 3, 10, 20), FLOAT, reusable=False)
OLD = MapSpec((1, 8, 10, 20), FLOAT)
SAME = Made(1, 8, Fraction(1), FLOAT)


def test_a_new_map_takes_memory_while_the_budget_lasts() -> None:
    decided = allocation([SAME], [IMAGE], memory_budget=IMAGE.nbytes + OLD.nbytes)
    assert [each.on_disk for each in decided.maps] == [False]
    decided = allocation([SAME], [IMAGE], memory_budget=IMAGE.nbytes + OLD.nbytes - 1)
    assert [each.on_disk for each in decided.maps] == [True]
    assert decided.maps[0].shape == (1, 8, 10, 20)


def test_a_map_that_nothing_needs_is_written_over() -> None:
    decided = allocation([0, SAME], [IMAGE, OLD], memory_budget=0)
    assert decided.maps == (IMAGE, OLD)
    assert (decided.kept, decided.overwrites) == ((0, 1), True)


def test_neither_the_image_nor_what_is_handed_through_is_written_over() -> None:
    image = Made(1, 3, Fraction(1), FLOAT)
    decided = allocation([image, 1, SAME], [IMAGE, OLD], memory_budget=1 << 30)
    assert (decided.kept, decided.overwrites) == ((None, 1, None), False)
    larger = Made(1, 8, Fraction(2), FLOAT)
    assert allocation([larger], [OLD], 1 << 30).maps[0].shape == (1, 8, 20, 40)


@pytest.mark.parametrize("name", ["lite", "imdn", "imdn-plus", "rfdn", "rdsrn", "lesrcnn"])
@pytest.mark.parametrize("budget", [1 << 30, 400_000])
@torch.no_grad()
def test_a_footprint_is_what_the_tiler_takes(name: str, budget: int) -> None:
    """Foretold from a small image, and added up while a larger one is computed."""
    row = list(registry.find(name).values())[-1]
    stages: list[Stage[Array]] = stages_on(random_network(row).stages())
    outlines = outlined(stages, np.zeros((1, 3, 24, 24), np.float32))
    image = np.zeros((1, 3, 72, 96), np.float32)
    foretold = footprint(outlines, given(image).spec, None, budget)
    memory, disk = _taken(stages, image, budget)
    held = 0  # one window holds nothing back but what it has just made
    assert foretold.disk == disk
    for outline in outlines:
        made = [each for each in outline.results if isinstance(each, Made)]
        held = max(held, sum(each.whole(144, 192).nbytes for each in made))
    assert memory <= foretold.memory <= memory + held
    assert foretold.pixels == 1


def _taken(stages: list[Stage[Array]], image: Array, budget: int) -> tuple[int, int]:
    """The most bytes of maps in memory, and on disk, while stages run over an image."""
    state, context, memory, disk = [given(image)], None, 0, 0
    for stage in stages:
        following = advanced(stage, state, context, None, budget, map, ignore)
        specs = [each.spec for each in (*state, *following)]
        memory = max(memory, resident(specs) - image.nbytes)
        unique = {id(each): each for each in specs if each.on_disk}
        disk = max(disk, sum(each.nbytes for each in unique.values()))
        state = following
        context = stage.summary(state[-1].strips()) if stage.summary else None
    return memory, disk


def test_margins_of_windows_are_computed_too() -> None:
    outline = Outline((SAME,), margin=5, stride=1)
    spec = MapSpec((1, 8, 100, 100), FLOAT, reusable=False)
    assert footprint([outline], spec, 50, 1 << 30).pixels == pytest.approx(55 * 55 * 4 / 10_000)


def test_a_limit_that_threads_lower_never_rises() -> None:
    """A small window that did not fit may be told before a large one."""
    runner = Runner(
        Stage(lambda state, _: state, 0), [Canvas(np.zeros((1, 1, 512, 512)), IMAGE)], None
    )
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(runner.lower, [64, 256, 128, 200, 96, 255, 80, 90]))
    assert runner.limit == 64
    assert not runner.lower(63)


sides = some.integers(1, 300)
strides = some.sampled_from((1, 2, 3, 4, 8))


@holds_for(sides, sides, some.none() | some.integers(1, 400), strides)
def test_windows_of_any_size_make_up_the_image(
    height: int, width: int, size: int | None, stride: int
) -> None:
    cut = windows(height, width, size, stride)
    assert sum(window.height * window.width for window in cut) == height * width
    assert cut == sorted(cut, key=lambda window: (window.top, window.left)), "row by row"
    covered = np.zeros((height, width), np.uint8)
    for window in cut:
        window.of(covered)[...] += 1
        assert window.top % stride == window.left % stride == 0
        assert window.height and window.width
    assert (covered == 1).all()


@some.composite
def inside(draw: some.DrawFn) -> tuple[Window, Window]:
    """A window, and the bounds that it lies in."""
    height, width = draw(sides), draw(sides)
    top, left = draw(some.integers(0, height - 1)), draw(some.integers(0, width - 1))
    bottom, right = draw(some.integers(top + 1, height)), draw(some.integers(left + 1, width))
    return Window(top, left, bottom, right), Window(0, 0, height, width)


def contains(outer: Window, inner: Window) -> bool:
    return inner.grown(0, outer) == inner


@holds_for(inside(), some.integers(0, 400), strides)
def test_the_algebra_of_windows(both: tuple[Window, Window], margin: int, stride: int) -> None:
    window, bounds = both
    around = window.grown(margin, bounds)
    assert contains(around, window) and contains(bounds, around)
    moved = window.within(around)
    assert (moved.height, moved.width) == (window.height, window.width)
    image = np.arange(bounds.height * bounds.width).reshape(bounds.height, bounds.width)
    assert (moved.of(around.of(image)) == window.of(image)).all()
    cut = window.at_least(84, bounds, stride)
    assert contains(cut, window) and contains(bounds, cut)
    assert cut.height >= min(84, bounds.height) and cut.width >= min(84, bounds.width)
    parts = window.quarters(stride)
    covered = sum(part.height * part.width for part in parts)
    assert covered == window.height * window.width
    assert all(contains(window, part) for part in parts)


@holds_for(sides, sides, some.integers(1, 400), strides)
def test_scaled_windows_meet_where_windows_meet(
    height: int, width: int, size: int, stride: int
) -> None:
    for ratio in (Fraction(3), Fraction(1, stride)):
        whole_map = Window(0, 0, height, width).scaled(ratio)
        covered = np.zeros((whole_map.bottom, whole_map.right), np.uint8)
        for window in windows(height, width, size, stride):
            window.scaled(ratio).of(covered)[...] += 1
        assert (covered == 1).all()


@holds_for(some.integers(1, 60), some.integers(1, 60), some.integers(1, 70), some.integers(0, 70))
def test_nobody_reads_what_is_written_over(height: int, width: int, size: int, margin: int) -> None:
    """A window's result is placed when so many windows behind it are done."""
    todo, bounds = windows(height, width, size), Window(0, 0, height, width)
    wait = windows_until_safe(todo, margin)
    reads = [window.grown(margin, bounds) for window in todo]
    for number, window in enumerate(todo):
        for later in reads[number + wait + 1 :]:
            apart = window.bottom <= later.top or window.right <= later.left
            assert apart or later.bottom <= window.top or later.right <= window.left


@settings(max_examples=15)
@holds_for(some.integers(1, 50), some.integers(1, 50), some.integers(1, 60), some.integers(0, 9))
def test_tiles_equal_the_whole_whatever_the_sizes(
    height: int, width: int, size: int, margin: int
) -> None:
    stages = [Stage(box(margin), margin, mean), Stage(box(1), 1)]
    image = torch.from_numpy(np.random.default_rng(0).random((1, 3, height, width), np.float32))
    tiled_, whole_ = in_windows(stages, image, size), whole(stages, image)
    assert torch.allclose(tiled_, whole_, atol=1e-6)

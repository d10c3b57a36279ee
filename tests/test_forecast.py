from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srup.forecast import Forecast, forecast, forecast_of, process_age
from srup.images import read_pages
from srup.inference.loading import UpscalerCache
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker, job, plan
from tests.data.draw import draw


def foreseen(recipe: Recipe, path: Path) -> Forecast:
    """What an untrained network would take: nothing is downloaded for it."""
    cache = UpscalerCache(recipe.weights, recipe.run_options)
    planned = plan(recipe, job(path, path.with_name("larger.png")), read_pages(path))
    return forecast(planned, cache.untrained(planned.route, planned.factor), trained=False)


@pytest.mark.parametrize("name", ["lite", "imdn", "imdn-as", "imdn-rtc", "imdn-plus", "rfdn"])
def test_every_kind_of_network_has_a_forecast_of_its_order(name: str, photo: Path) -> None:
    """A picture of 80×60 takes neither gigabytes nor minutes, whichever network it is."""
    found = foreseen(Recipe(Target(scale=2), name), photo)
    assert 100e6 < found.memory < 3e9
    assert 0 < found.seconds < 60
    assert 1_000 < found.disk < 1e6


def test_more_pixels_take_more(photo: Path, tmp_path: Path) -> None:
    small = foreseen(Recipe(Target(scale=2), "imdn-rtc"), photo)
    large = foreseen(Recipe(Target(scale=24), "imdn-rtc"), photo)
    assert large.disk > 20 * small.disk
    assert large.memory > small.memory


def test_maps_beyond_the_memory_allowed_are_counted_as_disk(tmp_path: Path) -> None:
    draw(200, 150).save(tmp_path / "photo.png")
    recipe = Recipe(Target(scale=2), "imdn", run_options=RunOptions(tile=64, device="cpu"))
    planned = plan(recipe, job("a.png", "b.png"), read_pages(tmp_path / "photo.png"))
    upscaler = UpscalerCache(None, recipe.run_options).untrained(planned.route, 2)
    roomy = forecast(planned, upscaler, trained=False)
    tight = forecast(planned, replace(upscaler, memory_budget=0), trained=False)
    assert tight.disk > roomy.disk + 5e6


def test_an_image_that_cannot_be_made_has_none(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    result, found = forecast_of(job(tmp_path / "text.png", tmp_path / "b.png"), Worker(Recipe()))
    assert (result.status, found) == ("failed", None)


def test_times_are_told_as_people_do() -> None:
    told = [str(Forecast(0, 0, seconds)).rsplit(", ")[-1] for seconds in (7, 300, 10_000)]
    assert told == ["7 s", "5 min", "2.8 h"]


def test_the_age_of_the_process_is_known() -> None:
    assert 0 <= process_age() < 24 * 3600

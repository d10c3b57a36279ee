from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import srup
from srup.errors import OutOfMemory, ReadError, ScaleError, UsageError, WeightsError
from srup.evaluation.benchmark import (
    BICUBIC,
    Case,
    Evaluation,
    ModelResult,
    Outcome,
    cases,
    check,
    lr_and_hr,
    outcomes,
    published,
    set_of,
)
from srup.evaluation.protocols import Score, score
from srup.images.degrade import degraded_by
from srup.isolate import run_isolated
from srup.models import registry
from srup.resize import imresize
from tests.conftest import random_network
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width

EVALUATION = Evaluation("lite", 2)


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    """A folder of two pictures whose sides are no multiples of anything."""
    (tmp_path / "hr").mkdir()
    for name, size in (("one", (67, 53)), ("two", (50, 41))):
        draw(*size).save(tmp_path / "hr" / f"{name}.png")
    return tmp_path / "hr"


def test_a_network_is_scored_on_what_imresize_shrunk(hr: Path, tmp_path: Path) -> None:
    """The same figures step by step with the parts that `outcomes` is made of."""
    (first, _) = outcomes(replace(EVALUATION, save=tmp_path), cases(hr, None)[0])
    cropped = np.asarray(Image.open(hr / "one.png"))[:52, :66]
    enlarged = srup.load("lite", scale=2, precision="fp32")(imresize(cropped, scale=1 / 2))
    assert first.score == score(enlarged, cropped, border=2)
    assert (np.asarray(Image.open(tmp_path / "one_x2.png")) == enlarged).all()
    assert first.seconds and first.seconds > 0
    assert first.peak and first.peak > 1 << 20


def test_given_lr_images_are_taken(hr: Path, tmp_path: Path) -> None:
    (tmp_path / "lr").mkdir()
    for name in ("one", "extra"):
        Image.fromarray(
            imresize(np.asarray(Image.open(hr / "one.png"))[:52, :66], scale=1 / 2)
        ).save(tmp_path / "lr" / f"{name}x2.png")
    todo, alone = cases(hr, tmp_path / "lr")
    assert [path.name for path in alone] == ["extrax2.png", "two.png"]
    assert [outcome.score for outcome in outcomes(EVALUATION, todo)] == [
        next(outcomes(EVALUATION, [Case(hr / "one.png")])).score
    ]
    with pytest.raises(srup.SrupError, match="not 3 times what"):
        lr_and_hr(todo[0], 3, "mirror")


def test_lr_is_degraded_before_it_is_enlarged(hr: Path, tmp_path: Path) -> None:
    """The same figures step by step, with the same noise whatever stands before."""
    todo = cases(hr, None)[0]
    specs = ("jpeg:30", "clean", "noise:9+webp:50")
    bicubic = Evaluation(BICUBIC, 2, degradations=specs)
    found = list(outcomes(bicubic, todo))
    assert [(outcome.degradation, outcome.image) for outcome in found] == [
        (spec, name) for spec in specs for name in ("one.png", "two.png")
    ]
    lr, cropped = lr_and_hr(todo[0], 2, "mirror")
    for spec, outcome in zip(specs, found[::2], strict=True):
        enlarged = imresize(degraded_by(spec, lr), scale=2)
        assert outcome.score == score(enlarged, cropped, border=2)
    alone = next(outcomes(replace(bicubic, degradations=("noise:9+webp:50",)), todo))
    assert alone.score == found[4].score


def test_results_of_degraded_lr_are_kept_apart(hr: Path, tmp_path: Path) -> None:
    specs = ("clean", "noise:5+jpeg:75")
    evaluation = Evaluation(BICUBIC, 2, save=tmp_path / "kept", degradations=specs)
    folders = evaluation.folders()
    assert folders == {specs[0]: tmp_path / "kept", specs[1]: tmp_path / "kept" / "noise5+jpeg75"}
    folders[specs[1]].mkdir(parents=True)
    list(outcomes(evaluation, cases(hr, None)[0]))
    clean, degraded = (np.asarray(Image.open(folders[spec] / "one_x2.png")) for spec in specs)
    assert (clean != degraded).any()


def test_an_image_that_fails_does_not_end_it(hr: Path) -> None:
    (hr / "broken.png").write_bytes(b"rotten")
    (hr / "pages.tif").write_bytes(tiff_without_a_width())
    Image.new("RGB", (8, 8)).save(hr / "small.png")
    Image.new("RGB", (1, 9)).save(hr / "thin.png")
    found = {
        outcome.image: outcome
        for outcome in outcomes(replace(EVALUATION, model=BICUBIC), cases(hr, None)[0])
    }
    assert "not an image" in str(found["broken.png"].error)
    assert "TypeError" in str(found["pages.tif"].error)
    assert "smaller than SSIM's window" in str(found["small.png"].error)
    assert "cannot be shrunk 2 times" in str(found["thin.png"].error)
    assert found["one.png"].score and found["two.png"].score


def test_in_a_process_of_its_own(hr: Path) -> None:
    todo = cases(hr, None)[0]
    here, there = (
        list(outcomes(EVALUATION, todo)),
        list(run_isolated("lite", outcomes, EVALUATION, todo)),
    )
    assert [outcome.score for outcome in there] == [outcome.score for outcome in here]
    with pytest.raises(WeightsError):
        list(run_isolated("lite", outcomes, replace(EVALUATION, weights=hr / "one.png"), todo))


def test_a_process_that_dies_is_an_error(hr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no interpreter starts like that
    with pytest.raises(OutOfMemory, match="its process ended"):
        list(run_isolated("lite", outcomes, EVALUATION, cases(hr, None)[0]))


def test_truncated_is_the_network_cut_off(hr: Path, tmp_path: Path) -> None:
    torch.save(random_network(registry.find("lite")[2]).state_dict(), tmp_path / "own.pth")
    evaluation = replace(
        EVALUATION, protocol="truncated", weights=tmp_path / "own.pth", save=tmp_path
    )
    next(outcomes(evaluation, cases(hr, None)[0]))
    lr, _ = lr_and_hr(Case(hr / "one.png"), 2, "mirror")
    network = srup.load("lite", scale=2, weights=tmp_path / "own.pth").network
    with torch.no_grad():
        expected = (
            (network(torch.from_numpy(lr)[None].permute(0, 3, 1, 2) / 255)[0] * 255)
            .clamp(0, 255)
            .floor()
        )
    assert (
        np.asarray(Image.open(tmp_path / "one_x2.png")) == expected.permute(1, 2, 0).numpy()
    ).mean() > 0.999


def test_grey_files_keep_their_own_levels_on_y_alone(tmp_path: Path) -> None:
    """A grey file is scored on its levels, its copy in colour on their luma: 219 levels for 255."""
    (tmp_path / "hr").mkdir()
    grey = draw(64, 48).convert("L")
    grey.save(tmp_path / "hr" / "a.png")
    grey.convert("RGB").save(tmp_path / "hr" / "b.png")
    own, luma = (
        outcome.score
        for outcome in outcomes(Evaluation(BICUBIC, 2, "y-only"), cases(tmp_path / "hr", None)[0])
    )
    assert own and luma
    assert luma.psnr - own.psnr == pytest.approx(20 * math.log10(255 / 219), abs=0.1)


@pytest.mark.parametrize(
    ("evaluation", "given_lr", "error", "says"),
    [
        (replace(EVALUATION, protocol="y-only"), False, UsageError, "needs colours"),
        (Evaluation(BICUBIC, 2, "y-only"), True, UsageError, "leave out lr"),
        (Evaluation(BICUBIC, 2, "y-only", degradations=("jpeg:9",)), False, UsageError, "colours"),
        (replace(EVALUATION, degradations=("clean", "jpg:9")), False, UsageError, "called 'jpg:9'"),
        (Evaluation("imdn-plus", 2, "truncated"), False, UsageError, "has no ×2"),
        (replace(EVALUATION, scale=40), False, ScaleError, "out of range"),
    ],
)
def test_what_cannot_be_scored_is_said_first(
    evaluation: Evaluation, given_lr: bool, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        check(evaluation, given_lr=given_lr)


def test_published_figures() -> None:
    assert published("imdn", "Set5", 4) == (32.21, 0.8948)
    assert published(BICUBIC, "Set14", 2) == (30.24, 0.8688)
    assert published("imdn", None, 4) is None
    assert published("imdn-plus", "Set5", 2) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Set5/HR", "Set5"),
        ("data/set14", "Set14"),
        ("B100/HR_x2", "BSD100"),
        ("Set5/mine/Urban100", "Urban100"),
        ("x", None),
    ],
)
def test_the_set_is_read_from_the_path(path: str, name: str | None, tmp_path: Path) -> None:
    assert set_of(tmp_path / path) == name


def test_means_leave_out_what_failed_and_keep_nan() -> None:
    good, bad = Outcome("a", Score(30.0, 0.9), 1.0, 5), Outcome("b", error=ReadError("damaged"))
    summary = ModelResult(EVALUATION, [good, bad])
    assert (summary.score, summary.seconds, summary.peak) == (Score(30.0, 0.9), 1.0, 5)
    assert math.isnan(
        ModelResult(EVALUATION, [good, Outcome("c", Score(math.nan, math.nan), 1.0, 5)]).score.psnr
    )


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no images"):
        cases(tmp_path, None)

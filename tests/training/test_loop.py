from __future__ import annotations

import dataclasses
import itertools
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from srup.errors import TrainingError
from srup.inference.loading import load
from srup.models import registry
from srup.networks.lite import Lite
from srup.resize import imresize
from srup.training import dataset, loop, teaching
from srup.training.degradations import DEGRADATIONS
from srup.training.hyperparameters import SCHEDULES, Hyperparameters, loss_at, rate_at
from srup.training.reparameterize import branch, merged
from srup.training.validation import Validation
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width

HYPERPARAMETERS = Hyperparameters(scales=(2, 3), steps=9, batch=2, patch=12, wider=2, clip=1.0)
DEGRADED = dataclasses.replace(HYPERPARAMETERS, degrade=DEGRADATIONS["photo"])
MUON = dataclasses.replace(HYPERPARAMETERS, wider=0, optimiser="muon")
DISTILLED = dataclasses.replace(
    HYPERPARAMETERS, scales=(2,), steps=3, distil=0.5, teachers=("lite",)
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, (width, height) in enumerate([(100, 80), (81, 97)]):
        draw(width, height).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def pairs(pictures: Path, cache: Path) -> dataset.Pairs:
    return dataset.prepare([pictures], (2, 3), cache=cache)


def fresh() -> Lite:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Lite(2, channels=8, pairs=2)


def run(
    pairs: dataset.Pairs,
    out: Path,
    hyperparameters: Hyperparameters = HYPERPARAMETERS,
    steps: int | None = None,
    **options: object,
) -> list[loop.Step]:
    return list(
        itertools.islice(
            loop.train(fresh(), pairs, hyperparameters, out=out, every=3, **options), steps
        )
    )  # type: ignore[arg-type]


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(path, weights_only=True))


def test_pairs_are_what_imresize_makes(pairs: dataset.Pairs, pictures: Path) -> None:
    hr = np.asarray(Pillow.open(pictures / "0.png"))[:78, :96]
    assert len(pairs) == 2
    assert (pairs.image(1, 0) == hr).all()
    for scale in (2, 3):
        assert (pairs.image(scale, 0) == imresize(hr, scale=1 / scale)).all()


def test_pairs_are_made_once(pictures: Path, cache: Path) -> None:
    dataset.prepare([pictures], (2,), cache=cache)
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    dataset.prepare([pictures], (2,), cache=cache)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == made


def test_a_batch_is_a_function_of_its_seed(pairs: dataset.Pairs) -> None:
    first, again, other = (
        dataset.batch(pairs, scale=3, size=4, patch=10, seed=(0, n)) for n in (1, 1, 2)
    )
    assert (first.lr == again.lr).all() and (first.hr == again.hr).all()
    assert not (first.lr == other.lr).all()
    assert first.lr.shape == (4, 10, 10, 3)
    assert first.hr.shape == (4, 30, 30, 3)
    assert first.taught is None


@pytest.mark.parametrize("patch", [10, 26])
def test_a_margin_is_what_lies_around_the_same_patches(pairs: dataset.Pairs, patch: int) -> None:
    """A patch of 26 pixels is as high as the images: there the margin repeats its edge."""
    lr, hr, _ = dataset.batch(pairs, scale=3, size=8, patch=patch, seed=(1,))
    wide, same, _ = dataset.batch(pairs, scale=3, size=8, patch=patch, seed=(1,), margin=5)
    assert (wide[:, 5:-5, 5:-5] == lr).all()
    assert (same == hr).all()
    assert wide.shape == (8, patch + 10, patch + 10, 3)
    images = [np.pad(pairs.image(3, each), ((5, 5), (5, 5), (0, 0)), "edge") for each in (0, 1)]
    for patch_found in wide:
        assert any(_contains(image, patch_found) for image in images)


def _contains(image: np.ndarray, patch: np.ndarray) -> bool:
    """Whether a patch is in an image, turned in whatever way."""
    side = patch.shape[0]
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), (0, 1))
    for turns, flipped in itertools.product(range(4), (False, True)):
        turned = np.rot90(patch[::-1] if flipped else patch, turns).transpose(2, 0, 1)
        if (windows == turned).all((2, 3, 4)).any():
            return True
    return False


def test_lr_and_hr_patches_show_the_same_detail(pairs: dataset.Pairs) -> None:
    """A shrunk HR patch is its LR patch, however both were turned.

    Borders are left out: there the patch lacks the neighbours that the image had.
    """
    lr, hr, _ = dataset.batch(pairs, scale=2, size=16, patch=16, seed=(3,))
    for small, large in zip(lr, hr, strict=True):
        assert (
            np.abs(imresize(large, scale=0.5)[4:-4, 4:-4].astype(int) - small[4:-4, 4:-4]).max()
            <= 1
        )


def test_hdf5(tmp_path: Path, pictures: Path, cache: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra srup[hdf5]")
    hr = np.asarray(Pillow.open(pictures / "0.png"))
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.create_dataset("hr/0", data=hr)
        file.create_dataset("lr/0", data=imresize(hr, scale=0.5))
    made = dataset.prepare([tmp_path / "set.h5"], (2,), cache=cache)
    assert (made.image(1, 0) == hr).all()
    assert (made.image(2, 0) == imresize(hr, scale=0.5)).all()
    with pytest.raises(TrainingError, match="is not 4 times"):
        dataset.prepare([tmp_path / "set.h5"], (4,), cache=cache)


def test_a_broken_image_is_left_out(pictures: Path, cache: Path) -> None:
    (pictures / "broken.png").write_bytes((pictures / "0.png").read_bytes()[:300])
    (pictures / "broken.tif").write_bytes(tiff_without_a_width())
    assert len(dataset.prepare([pictures], (2,), cache=cache)) == 2
    paths = dataset.find_images([pictures])
    assert len(Validation(paths, (2,)).pairs["clean", 2]) == 2
    with pytest.raises(TrainingError, match="none of the 1 images to validate on"):
        Validation([pictures / "broken.tif"], (2,))


@pytest.mark.parametrize("signature", [b"HDF", b"TREE", b"HEAP", b"SNOD"])
def test_a_broken_hdf5_file_is_left_out(signature: bytes, pictures: Path, cache: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra srup[hdf5]")
    hr = np.asarray(Pillow.open(pictures / "0.png"))
    with h5py.File(pictures / "set.h5", "w") as file:
        file.create_dataset("hr/0", data=hr)
        file.create_dataset("lr/0", data=imresize(hr, scale=0.5))
    data = bytearray((pictures / "set.h5").read_bytes())
    data[data.rindex(signature)] = 0
    (pictures / "set.h5").write_bytes(data)
    assert len(dataset.prepare([pictures], (2,), cache=cache)) == 2


def test_hdf5_of_another_layout_is_refused(tmp_path: Path, cache: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra srup[hdf5]")
    for name, entries in (("a", {"hr": 3}), ("b", {"hr/0": 3, "lr/0": 3}), ("c", {"hr/0/1": 3})):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            for key, value in {"lr/1": 3, **entries}.items():
                file[key] = value
        with pytest.raises(TrainingError, match=r"\.h5"):
            dataset.prepare([tmp_path / f"{name}.h5"], (2,), cache=cache)


def test_errors_for_unusable_data(tmp_path: Path, cache: Path, pairs: dataset.Pairs) -> None:
    with pytest.raises(TrainingError, match="no such file"):
        dataset.prepare([tmp_path / "nowhere"], (2,), cache=cache)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match="no images"):
        dataset.prepare([tmp_path / "empty"], (2,), cache=cache)
    with pytest.raises(TrainingError, match="smaller patch"):
        dataset.batch(pairs, scale=2, size=1, patch=100, seed=(0,))


@pytest.mark.parametrize(
    "hyperparameters", [HYPERPARAMETERS, DEGRADED, MUON], ids=["clean", "degraded", "muon"]
)
@pytest.mark.parametrize("killed_after", [3, 5, 8])
def test_a_resumed_run_equals_an_undisturbed_one(
    pairs: dataset.Pairs, tmp_path: Path, killed_after: int, hyperparameters: Hyperparameters
) -> None:
    undisturbed = run(pairs, tmp_path / "a.pt", hyperparameters)
    run(pairs, tmp_path / "b.pt", hyperparameters, steps=killed_after)
    resumed = run(pairs, tmp_path / "b.pt", hyperparameters)
    assert resumed[0].number == killed_after // 3 * 3 + 1
    assert [step.loss for step in resumed] == [
        step.loss for step in undisturbed[resumed[0].number - 1 :]
    ]
    for name, tensor in weights_in(tmp_path / "a.pt").items():
        assert torch.equal(tensor, weights_in(tmp_path / "b.pt")[name])


def test_a_run_with_other_hyperparameters_does_not_resume(
    pairs: dataset.Pairs, tmp_path: Path
) -> None:
    run(pairs, tmp_path / "a.pt", steps=3)
    with pytest.raises(TrainingError, match="other batch, rate"):
        run(
            pairs,
            tmp_path / "a.pt",
            Hyperparameters(
                scales=(2, 3), steps=9, batch=3, patch=12, wider=2, clip=1.0, rate=2e-3
            ),
        )


@pytest.mark.parametrize("before", [6, 9])
def test_more_steps_continue_on_the_longer_schedule(
    pairs: dataset.Pairs, tmp_path: Path, before: int
) -> None:
    """Whether the first run had ended or not; and exactly, if the longer one is stopped too."""
    longer = dataclasses.replace(HYPERPARAMETERS, steps=15)
    for name in ("a.pt", "b.pt"):
        run(pairs, tmp_path / name, steps=before)
    undisturbed = run(pairs, tmp_path / "a.pt", longer)
    assert [step.number for step in undisturbed] == list(range(before + 1, 16))
    assert [step.rate for step in undisturbed] == [
        rate_at(longer, number) for number in range(before + 1, 16)
    ]
    run(pairs, tmp_path / "b.pt", longer, steps=4)
    resumed = run(pairs, tmp_path / "b.pt", longer)
    assert [step.loss for step in resumed] == [step.loss for step in undisturbed[-len(resumed) :]]
    for name, tensor in weights_in(tmp_path / "a.pt").items():
        assert torch.equal(tensor, weights_in(tmp_path / "b.pt")[name])
    assert run(pairs, tmp_path / "a.pt", longer) == []
    found = loop.recorded(tmp_path / "a.pt")
    assert found and (found.step, found.hyperparameters.steps) == (15, 15)


def test_fewer_steps_than_before_are_refused(pairs: dataset.Pairs, tmp_path: Path) -> None:
    run(pairs, tmp_path / "a.pt", steps=3)
    with pytest.raises(TrainingError, match="of a run of 9 steps"):
        run(pairs, tmp_path / "a.pt", dataclasses.replace(HYPERPARAMETERS, steps=8))


def test_a_run_degraded_otherwise_does_not_resume(pairs: dataset.Pairs, tmp_path: Path) -> None:
    run(pairs, tmp_path / "a.pt", DEGRADED, steps=3)
    other = dataclasses.replace(DEGRADATIONS["photo"], noise=(0.0, 20.0))
    for degrade in (None, other):
        with pytest.raises(TrainingError, match="other degrade"):
            run(pairs, tmp_path / "a.pt", dataclasses.replace(DEGRADED, degrade=degrade))


def test_a_state_that_knows_nothing_of_degrading_resumes(
    pairs: dataset.Pairs, tmp_path: Path
) -> None:
    undisturbed = run(pairs, tmp_path / "a.pt")
    run(pairs, tmp_path / "b.pt", steps=6)
    state = torch.load(tmp_path / "b.state.pt", weights_only=True)
    for name in ("degrade", "teachers", "optimiser"):
        del state["hyperparameters"][name]
    torch.save(state, tmp_path / "b.state.pt")
    resumed = run(pairs, tmp_path / "b.pt")
    assert [step.loss for step in resumed] == [step.loss for step in undisturbed[6:]]


def test_degrading_changes_lr_alone(pairs: dataset.Pairs) -> None:
    """The patches are those of a run without, and HR stays clean."""
    plain = loop._batches(pairs, HYPERPARAMETERS, 1)
    for (step, clean), (same, degraded) in zip(
        plain, loop._batches(pairs, DEGRADED, 1), strict=True
    ):
        assert step == same
        assert (clean.hr == degraded.hr).all()
        assert degraded.lr.shape == clean.lr.shape
        assert np.abs(degraded.lr.astype(float) - clean.lr).mean() < 20


def test_a_degraded_run_is_validated_on_degraded_images_too(
    pairs: dataset.Pairs, tmp_path: Path, pictures: Path
) -> None:
    validation = Validation(sorted(pictures.iterdir()), (2, 3), DEGRADATIONS["photo"].validated)
    steps = run(pairs, tmp_path / "a.pt", DEGRADED, validation=validation)
    means = []
    for step in steps[2::3]:
        assert step.psnr and step.degraded
        assert list(step.degraded) == ["jpeg:75", "jpeg:50"]
        figures = [*step.psnr.values()]
        for psnr in step.degraded.values():
            figures += psnr.values()
        assert len(figures) == 6
        means.append(sum(figures) / 6)
    state = torch.load(tmp_path / "a.state.pt", weights_only=True)
    assert state["best"] == pytest.approx(max(means))
    assert (
        validation.bicubic(2) > validation.bicubic(2, "jpeg:75") > validation.bicubic(2, "jpeg:50")
    )


def test_training_gains_psnr(pairs: dataset.Pairs, tmp_path: Path, pictures: Path) -> None:
    validation = Validation(sorted(pictures.iterdir()), (2,))
    hyperparameters = Hyperparameters(
        scales=(2,), steps=240, batch=4, patch=16, rate=3e-3, decay=0.9
    )
    steps = run(pairs, tmp_path / "a.pt", hyperparameters, validation=validation)
    measured = [step.psnr[2] for step in steps if step.psnr]
    assert measured[-1] > measured[0] + 2
    assert sum(step.loss for step in steps[-20:]) < 0.8 * sum(step.loss for step in steps[:20])
    network = fresh()
    network.load_state_dict(weights_in(tmp_path / "a.pt"))
    assert validation.psnr(network) == pytest.approx(max(measured), abs=1e-3)


def test_teachers_show_the_mean_of_what_they_make_of_each_image(pairs: dataset.Pairs) -> None:
    names = ("lite", "lite-photo")
    made = teaching.taught(pairs, names)
    for index, scale in itertools.product(range(len(made)), (2, 3)):
        results = [load(name, scale=scale)(made.image(scale, index)) for name in names]
        difference = made.taught_image(scale, index) - np.mean(results, axis=0)
        assert np.abs(difference).max() <= 0.5


def test_a_scale_is_taught_by_those_that_have_it(checkpoints: Path, pairs: dataset.Pairs) -> None:
    both, one = (teaching.taught(pairs, names) for names in (["lite", "imdn-rtc"], ["lite"]))
    assert (both.taught[2] != one.taught[2]).any()
    assert (both.taught[3] == one.taught[3]).all()


def test_what_teachers_make_is_kept(pairs: dataset.Pairs) -> None:
    """For the same teachers alone."""
    first = teaching.taught(pairs, ["lite"])
    kept = {path: path.stat().st_mtime_ns for path in pairs.folder.iterdir()}
    assert (teaching.taught(pairs, ["lite"]).taught[2] == first.taught[2]).all()
    assert {path: path.stat().st_mtime_ns for path in pairs.folder.iterdir()} == kept
    assert (teaching.taught(pairs, ["lite-photo"]).taught[2] != first.taught[2]).any()


def test_a_patch_of_the_teacher_is_that_of_hr(pairs: dataset.Pairs) -> None:
    """With HR for a teacher, whatever the draw turns, both patches are the same."""
    planes = dict.fromkeys((2, 3), pairs.planes[1])
    taught = dataclasses.replace(pairs, taught=planes)
    for scale in (2, 3):
        patches = dataset.batch(taught, scale=scale, size=6, patch=10, seed=(1,), margin=2)
        assert patches.taught is not None and (patches.taught == patches.hr).all()
        plain = dataset.batch(pairs, scale=scale, size=6, patch=10, seed=(1,), margin=2)
        assert (plain.lr == patches.lr).all() and (plain.hr == patches.hr).all()


def test_the_share_of_the_loss_that_the_teacher_has(pairs: dataset.Pairs, tmp_path: Path) -> None:
    """The first step's loss is the mean, by shares, of the losses against HR and the teacher."""
    made = teaching.taught(pairs, ["lite"])
    losses = []
    for number, share in enumerate((0.0, 0.25, 1.0)):
        hyperparameters = dataclasses.replace(DISTILLED, steps=1, distil=share)
        losses.append(run(made, tmp_path / f"{number}.pt", hyperparameters)[0].loss)
    hr, mixed, taught = losses
    assert mixed == pytest.approx(0.75 * hr + 0.25 * taught, rel=1e-5)
    assert taught != pytest.approx(hr, rel=1e-2)


def test_muon_trains_the_convolutions_of_the_body_and_adam_the_rest() -> None:
    """And the tail of ×4 where it too has as many channels after as before, as in full `lite`."""
    for network, tails in ((fresh(), []), (Lite(2), ["tails.4.weight"])):
        adam, muon = loop._optimisers(network, MUON).values()
        kernels = {id(kernel) for kernel in muon.param_groups[0]["params"]}
        names = {name for name, weights in network.named_parameters() if id(weights) in kernels}
        inner = [name for name in network.state_dict() if "body" in name and "weight" in name]
        assert names == {*inner, *tails}
        rest = len(list(network.parameters())) - len(kernels)
        assert len(adam.param_groups[0]["params"]) == rest


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_compiled_steps_are_those_of_the_network(pairs: dataset.Pairs, tmp_path: Path) -> None:
    """Up to the last bits, which grow from step to step."""
    made = teaching.taught(pairs, ["lite"])
    plain = run(made, tmp_path / "a.pt", DISTILLED)
    compiled = run(made, tmp_path / "b.pt", DISTILLED, compiled=True)
    assert [step.loss for step in compiled] == pytest.approx([step.loss for step in plain], 1e-4)
    for name, tensor in weights_in(tmp_path / "a.pt").items():
        assert torch.allclose(tensor, weights_in(tmp_path / "b.pt")[name], atol=1e-4)


def test_without_a_compiler_that_is_said(
    pairs: dataset.Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(TrainingError, match=r"cannot compile the network .*leave out compiled"):
        run(pairs, tmp_path / "a.pt", compiled=True)


def test_a_loss_that_is_not_finite_is_an_error(pairs: dataset.Pairs, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="smaller rate"):
        run(
            pairs,
            tmp_path / "a.pt",
            Hyperparameters(scales=(2,), steps=40, batch=2, patch=12, rate=1e12, loss="l2"),
        )


def test_new_branches_change_nothing_and_merge_exactly() -> None:
    plain, branched = fresh(), fresh()
    branch(branched, 2)
    image = torch.rand(1, 3, 9, 9)
    assert torch.equal(plain(image), branched(image))
    with torch.no_grad():
        for name, tensor in branched.named_parameters():
            if "squeeze" in name:
                tensor.normal_()
    assert not torch.allclose(plain(image), branched(image))
    plain.load_state_dict(merged(branched, list(plain.state_dict())))
    assert torch.allclose(plain(image), branched(image), atol=1e-5)


def test_schedules() -> None:
    by_schedule = {
        name: Hyperparameters(scales=(2,), steps=100, schedule=name) for name in SCHEDULES
    }
    rates = {
        name: [rate_at(hyperparameters, step) for step in range(1, 101)]
        for name, hyperparameters in by_schedule.items()
    }
    assert all(
        values[0] == 1e-3 and values == sorted(values, reverse=True) for values in rates.values()
    )
    assert rates["step"][-1] == 1e-3 / 8
    assert rates["cosine"][-1] == pytest.approx(1e-5, rel=0.1)
    assert math.isclose(rates["cosine"][50], 0.505e-3, rel_tol=1e-3)


def test_a_rate_warms_up_and_ends_at_the_last() -> None:
    hyperparameters = Hyperparameters(
        scales=(2,), steps=1000, rate=1e-3, last_rate=1e-6, warm_up=100
    )
    assert rate_at(hyperparameters, 1) == pytest.approx(1e-5, rel=0.01)
    assert rate_at(hyperparameters, 50) == pytest.approx(0.5e-3, rel=0.02)
    assert rate_at(hyperparameters, 1000) == pytest.approx(1e-6, rel=0.01)


def test_the_end_is_trained_with_l2() -> None:
    hyperparameters = Hyperparameters(scales=(2,), steps=100, finish=0.15)
    assert [loss_at(hyperparameters, step) for step in (1, 85, 86, 100)] == ["l1", "l1", "l2", "l2"]


def test_a_scale_given_twice_is_drawn_twice_as_often(pairs: dataset.Pairs, tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(scales=(2, 3, 3), steps=120, batch=1, patch=8)
    drawn = [step.scale for step in run(pairs, tmp_path / "a.pt", hyperparameters)]
    assert 65 <= drawn.count(3) <= 95


def test_every_network_of_a_fixed_scale_can_be_trained(
    pairs: dataset.Pairs, tmp_path: Path
) -> None:
    for model in registry.MODELS:
        if model.scale in (2, 3):
            network = registry.build(model)
            hyperparameters = Hyperparameters(
                scales=(model.scale,), steps=2, batch=1, patch=12, rate=1e-4
            )
            losses = [
                step.loss
                for step in loop.train(
                    network, pairs, hyperparameters, out=tmp_path / f"{model.name}{model.scale}.pt"
                )
            ]
            assert len(losses) == 2

from __future__ import annotations

import io
import os
import random
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from srup import batch
from srup.batch.shards import carried_out
from srup.images import read_image
from srup.inference.target import Target
from srup.pipeline import Recipe, Result, Worker
from tests.data.draw import draw

RECIPE = Recipe(Target(scale=2), "bicubic")
STATUS = ("status.parquet", "status.csv")


def picture(width: int, format_: str = "PNG") -> bytes:
    data = io.BytesIO()
    draw(width, 16).save(data, format_)
    return data.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes, **facts: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for fact, value in {"mtime": 1_600_000_000, "mode": 0o640, "uid": 7, **facts}.items():
        setattr(info, fact, value)
    tar.addfile(info, io.BytesIO(data))


def sample_shard(path: Path, count: int = 3, format_: int = tarfile.PAX_FORMAT) -> None:
    """Samples of an image, a text and a class, as WebDataset has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format_) as tar:
        for number in range(count):
            add(tar, f"{number:04}.jpg", picture(20 + number % 5, "JPEG"))
            add(tar, f"{number:04}.txt", f"caption {number}".encode())
            add(tar, f"{number:04}.cls", b"7", mtime=1.5 if format_ == tarfile.PAX_FORMAT else 1)


def made(source: Path, out: Path, recipe: Recipe = RECIPE, **policy: bool) -> dict[str, Result]:
    """What a whole run does: name → Result."""
    jobs = batch.planned(batch.find([str(source)]), str(out), recipe)
    with batch.journal(str(out)) as journal:
        results = batch.run(jobs, recipe, journal, policy=batch.Policy(**policy))
        return {result.name: result for result in results}


def contents(path: Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    """The members in their order."""
    found = {}
    with tarfile.open(path) as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            found[info.name] = (info, file.read() if file else b"")
    return found


def raw(path: Path, name: str) -> bytes:
    """A member as the bytes that it is, header and all."""
    with tarfile.open(path) as tar:
        infos = tar.getmembers()
        (index,) = [at for at, info in enumerate(infos) if info.name == name]
        ends = [info.offset for info in infos[1:]] + [tar.offset]
        return path.read_bytes()[infos[index].offset : ends[index]]


@pytest.mark.parametrize("format_", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_images_are_those_of_files_and_all_else_is_as_it_was(tmp_path: Path, format_: int) -> None:
    source, out = tmp_path / "in" / "data-000000.tar", tmp_path / "out"
    sample_shard(source, format_=format_)
    result = made(tmp_path / "in", out)["data-000000.tar"]
    assert (result.status, result.images, result.failed) == ("done", 3, 0)
    before, after = contents(source), contents(out / source.name)
    assert [*after] == [name.replace(".jpg", ".png") for name in before]
    for name, (info, data) in before.items():
        if not name.endswith(".jpg"):
            assert raw(out / source.name, name) == raw(source, name)
            continue
        enlarged, pixels = after[name.replace(".jpg", ".png")]
        facts = ("mtime", "mode", "uid", "gid", "uname", "gname", "type")
        assert all(getattr(enlarged, fact) == getattr(info, fact) for fact in facts)
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_bytes(data)
        made(tmp_path / "files", tmp_path / "enlarged")
        assert pixels == (tmp_path / "enlarged" / name.replace(".jpg", ".png")).read_bytes()


def test_a_bad_image_fails_in_its_row_and_not_its_shard(tmp_path: Path) -> None:
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    sample_shard(source)
    with tarfile.open(source, "a") as tar:
        add(tar, "bad.png", b"no image")
        add(tar, "bad.json", b"{}")
        add(tar, "last.webp", picture(20, "WEBP"))
    result = made(tmp_path / "in", out)["a.tar"]
    assert (result.status, result.images, result.failed) == ("done", 5, 1)
    assert "a.tar/bad.png: not an image" in str(result.error)
    names = [*contents(out / "a.tar")]
    assert names[-2:] == ["bad.json", "last.png"]
    rows = status(out / "a.tar")
    assert [row["status"] for row in rows] == ["done"] * 3 + ["failed", "done"]
    assert (rows[3]["key"], "not an image" in rows[3]["error"]) == ("bad.png", True)
    assert (rows[0]["width"], rows[0]["new_width"]) == (20, 40)
    assert made(tmp_path / "in", out) == {}, "it was done, and is not made anew"


def status(shard: Path) -> list[Mapping[str, object]]:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra srup[shards]")
    rows: list[Mapping[str, object]] = parquet.read_table(f"{shard}.status.parquet").to_pylist()
    return rows


def test_files_and_shards_in_one_folder(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    sample_shard(folder / "a.tar", 1)
    draw(20, 16).save(folder / "a.png")
    assert {name: result.status for name, result in made(folder, out).items()} == {
        "a.tar": "done",
        "a.png": "done",
    }
    again = batch.planned(batch.find([str(out)]), str(tmp_path / "again"), RECIPE)
    assert [job.name for job in again] == ["a.png", "a.tar"], "tables are no shards"


def test_hostile_members_do_nothing(tmp_path: Path) -> None:
    """Names that lead elsewhere, links, devices and sparse files are copied as they are."""
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    source.parent.mkdir()
    special = {
        "link.png": {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        "hard.png": {"type": tarfile.LNKTYPE, "linkname": "../../x.png"},
        "device.png": {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
        "pipe.png": {"type": tarfile.FIFOTYPE},
        "folder.png": {"type": tarfile.DIRTYPE},
    }
    with tarfile.open(source, "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "../../escaped.png", picture(20))
        add(tar, "/absolute.png", picture(20))
        add(tar, f"{'deep/' * 60}ä\udcff.png", picture(20))
        for name, facts in special.items():
            add(tar, name, b"", **facts)
    (result,) = made(source, out).values()
    assert (result.status, result.images, result.failed) == ("done", 3, 0)
    assert [*contents(out / "a.tar")] == [*contents(source)]
    for name in special:
        assert raw(out / "a.tar", name) == raw(source, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_two_images_of_one_name(tmp_path: Path) -> None:
    source, out = tmp_path / "in.tar", tmp_path / "out"
    with tarfile.open(source, "w") as tar:
        add(tar, "0.jpg", picture(20, "JPEG"))
        add(tar, "0.png", picture(24))
    (result,) = made(source, out).values()
    assert "in.tar/0.png and another would both become 0.png; rename one" in str(result.error)
    assert read_image(io.BytesIO(contents(out / "in.tar")["0.png"][1])).size == (40, 32)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[: -len(data) % 512 - 12_000],
        lambda data: data[:512] + os.urandom(512) + data[1024:],
        lambda data: data[:3584] + b"\xff" * 512 + data[4096:],
        lambda data: b"",
        lambda data: b"no tar" * 1000,
    ],
)
def test_a_damaged_shard_fails_whole(tmp_path: Path, damage: object) -> None:
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    sample_shard(source, 12)
    source.write_bytes(damage(source.read_bytes()))  # type: ignore[operator]
    (result,) = made(tmp_path / "in", out).values()
    if result.status == "done":  # damage of an image
        assert result.failed
        return
    assert "damaged or cut short" in str(result.error)
    assert not [path for path in out.iterdir() if ".tar" in path.name]


def test_no_damage_is_more_than_a_failure(tmp_path: Path) -> None:
    """Of anything that is in a header."""
    sample_shard(tmp_path / "a.tar", 2)
    whole, chance = (tmp_path / "a.tar").read_bytes(), random.Random(0)
    worker = Worker(RECIPE)
    for number in range(60):
        data = bytearray(whole)
        for _ in range(3):
            header = 512 * chance.randrange(len(data) // 512)
            data[header + chance.randrange(160)] = chance.randrange(256)
        (tmp_path / f"{number}.tar").write_bytes(data)
        (job,) = batch.planned(
            batch.find([str(tmp_path / f"{number}.tar")]), str(tmp_path / "out"), RECIPE
        )
        result = carried_out(worker, job)
        assert type(result.error).__name__ in ("NoneType", "ReadError", "ImageError"), result.error


def test_what_a_batch_did_not_make_is_not_replaced(tmp_path: Path) -> None:
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    sample_shard(source, 1)
    out.mkdir()
    for name in ("a.tar", *(f"a.tar.{ending}" for ending in STATUS)):
        (out / name).write_text("precious")
        if name.endswith(STATUS[1]) and not (out / f"a.tar.{STATUS[0]}").exists():
            continue
        (result,) = made(tmp_path / "in", out).values()
        assert (result.status, (out / name).read_text()) == ("failed", "precious")
        if name == "a.tar":
            (out / name).unlink()
    (result,) = made(tmp_path / "in", out, overwrite=True).values()
    assert result.status == "done"


def test_stopped_nothing_of_it_is_there(tmp_path: Path) -> None:
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    sample_shard(source)
    (job,) = batch.planned(batch.find([str(source)]), str(out), RECIPE)
    worker = Worker(RECIPE)
    worker.progress = lambda stage, done, total: worker.stopped.set()
    assert carried_out(worker, job).status == "stopped"
    assert not out.exists() or not [*out.iterdir()]


def test_what_does_not_fit_is_made_in_small_windows(tmp_path: Path) -> None:
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    sample_shard(source, 1)
    (job,) = batch.planned(batch.find([str(source)]), str(out), RECIPE)
    failures = iter([MemoryError])

    def full(stage: str, done: float, total: float) -> None:
        if stage.startswith("enlarging"):
            for failure in failures:
                raise failure

    result = carried_out(Worker(RECIPE, progress=full), job)
    assert (result.status, result.failed) == ("done", 0)


def test_another_format_changes_the_extension(tmp_path: Path) -> None:
    source, out = tmp_path / "in" / "a.tar", tmp_path / "out"
    sample_shard(source, 1)
    made(source, out, replace(RECIPE, format="webp"))
    assert [*contents(out / "a.tar")] == ["0000.webp", "0000.txt", "0000.cls"]

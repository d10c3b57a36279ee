from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srup import batch, storage
from srup.errors import AlreadyExists, ReadError, WriteError
from srup.inference.target import Target
from srup.pipeline import Recipe
from tests.data.draw import draw

fsspec = pytest.importorskip("fsspec", reason="needs the extra srup[remote]")


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty folder on each kind of storage."""
    if request.param == "s3":
        yield request.getfixturevalue("bucket")
    elif request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        yield "memory://here"
    else:
        (tmp_path / "here").mkdir()
        yield str(tmp_path / "here") if request.param == "folder" else f"file://{tmp_path / 'here'}"


def put(place: str, name: str, width: int) -> None:
    with storage.stored(storage.join(place, name)) as local:
        draw(width, 16).save(local)


def test_what_was_stored_is_listed_and_fetched(place: str) -> None:
    for name, width in (("a.png", 20), ("sub/b.png", 24)):
        put(place, name, width)
    assert [each.name for each in storage.listing(place, recursive=True)] == ["a.png", "sub/b.png"]
    assert [(each.name, each.folder) for each in storage.listing(place)] == [
        ("a.png", False),
        ("sub", True),
    ]
    assert storage.sizes(place).keys() == {"a.png", "sub/b.png"}
    with storage.fetched(storage.join(place, "a.png")) as local:
        assert local.read_bytes().startswith(b"\x89PNG")
        assert storage.sizes(place)["a.png"] == local.stat().st_size


def test_what_exists_is_not_replaced(place: str) -> None:
    """On a disk it is who writes there that finds it."""
    put(place, "a.png", 20)
    if not storage.is_url(place):
        return
    before = storage.sizes(place)
    with (
        pytest.raises(AlreadyExists, match="exists; overwrite replaces it"),
        storage.stored(storage.join(place, "a.png"), overwrite=False) as local,
    ):
        local.write_text("another")
    assert storage.sizes(place) == before


def test_a_stamp_tells_a_change(place: str) -> None:
    put(place, "a.png", 20)
    before = storage.entry(storage.join(place, "a.png"))
    assert before == storage.entry(storage.join(place, "a.png"))
    put(place, "a.png", 28)
    after = storage.entry(storage.join(place, "a.png"))
    assert before and after
    assert (before.size, before.stamp) != (after.size, after.stamp)


def test_what_is_not_there(place: str) -> None:
    missing = storage.join(place, "gone.png")
    assert storage.entry(missing) is None
    assert storage.sizes(storage.join(place, "none")) == {}
    if storage.is_url(place):
        with pytest.raises(ReadError, match="no such file"), storage.fetched(missing):
            pass


def test_a_file_that_goes_away_before_it_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert storage.digest(tmp_path / "a").startswith("ba7816bf")  # FIPS 180-4's own example
    with pytest.raises(ReadError, match="No such file"):
        storage.digest(tmp_path / "gone")


def test_a_server_that_is_not_there(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises((ReadError, WriteError), match="check the address and the credentials"):
        storage.sizes(bucket)


def test_a_batch_from_and_to_it(place: str) -> None:
    """Made once, found done the second time."""
    source, out = storage.join(place, "in"), storage.join(place, "out")
    for name, width in (("a.png", 20), ("sub/b.png", 24)):
        put(source, name, width)
    recipe = Recipe(Target(scale=2))
    with batch.journal(out) as journal:
        jobs = batch.planned(batch.find([source], recursive=True), out, recipe)
        results = {result.name: result.status for result in batch.run(jobs, recipe, journal)}
        assert results == {"a.png": "done", "sub/b.png": "done"}
        assert list(batch.run(jobs, recipe, journal)) == []
    assert {"a.png", "sub/b.png"} <= storage.sizes(out).keys()


class Moody(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A store of which every transfer fails twice before it works, or for good."""

    protocol = "moody"
    failures = 2
    left = 2

    def _or_fail(self) -> None:
        if self.left:
            Moody.left -= 1
            raise ConnectionResetError("the store is busy")
        Moody.left = self.failures

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        self._or_fail()
        Path(lpath).write_text(rpath)

    def put_file(self, lpath: str, rpath: str, **_: object) -> None:
        self._or_fail()

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass


def test_a_transfer_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("moody", Moody, clobber=True)
    monkeypatch.setattr(storage, "WAITS", (0, 0, 0))
    before = storage.retries()
    with storage.fetched("moody://a.png") as local:
        assert local.read_text() == "a.png"
    with storage.stored("moody://b.png") as local:
        local.write_text("b")
    assert storage.retries() - before == 4
    monkeypatch.setattr(Moody, "left", 100)
    with pytest.raises(ReadError, match="the store is busy"), storage.fetched("moody://a.png"):
        pass
    assert Moody.left == 96

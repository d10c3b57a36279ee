"""What processes leave that are killed, and who removes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srup import files, temporaries
from srup.files import SCRATCH, replacing, scratch

pytestmark = pytest.mark.skipif(temporaries.fcntl is None, reason="needs locks of POSIX")

WRITE = """
import sys
from pathlib import Path
from srup.files import replacing, scratch
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    scratch(temporary).write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""
USE_FOLDER = """
import sys
from pathlib import Path
from srup import temporaries
parent = Path(sys.argv[1]) if len(sys.argv) > 1 else None
with temporaries.folder(parent, prefix=".a." if parent else "srup-") as folder:
    (folder / "sub").mkdir()
    (folder / "sub" / "half").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def at_work(script: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds something temporary until its input ends, and what it holds."""
    words = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def left_by_a_kill(script: str, *arguments: object) -> Path:
    with at_work(script, *arguments) as (process, path):
        process.kill()
        process.wait()
    assert path.exists()
    return path


@pytest.fixture(autouse=True)
def _looked_at_anew() -> None:
    """A folder is looked through once in a process, and a test is not a process."""
    files._left_in.cache_clear()


@pytest.fixture
def tmpdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TMPDIR, empty, for this process and those that it starts."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr("tempfile.tempdir", None)
    return place


def test_what_was_left_of_a_file_goes_when_it_is_written_again(tmp_path: Path) -> None:
    left = left_by_a_kill(WRITE, tmp_path / "a.tif")
    other = left_by_a_kill(WRITE, tmp_path / "b.tif")
    with replacing(tmp_path / "a.tif") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.tif",
        other.name,
        scratch(other).name,
    }
    assert not left.exists()


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    with at_work(WRITE, tmp_path / "a.tif") as (process, theirs):
        with replacing(tmp_path / "a.tif") as temporary:
            temporary.write_text("ours")
        assert theirs.read_text() == scratch(theirs).read_text() == "half"
        process.communicate("")
    assert (tmp_path / "a.tif").read_text() == "half", "the later one wins"


def test_names_that_only_look_like_it(tmp_path: Path) -> None:
    """A folder, a link, and other names: they are somebody's."""
    (tmp_path / "target").write_text("theirs")
    (tmp_path / ".a.tif.01234567.part").mkdir()
    (tmp_path / ".a.tif.89abcdef.part").symlink_to("target")
    (tmp_path / ".a.tif.part").write_text("theirs")
    (tmp_path / ".a.tif.0123456.part").write_text("theirs")
    before = {path.name for path in tmp_path.iterdir()}
    with replacing(tmp_path / "a.tif") as temporary:
        temporary.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == before | {"a.tif"}
    assert (tmp_path / "target").read_text() == "theirs"


def test_a_second_file_without_its_first(tmp_path: Path) -> None:
    alone = tmp_path / f".a.tif.01234567.part{SCRATCH}"
    alone.write_text("half")
    with replacing(tmp_path / "a.tif") as temporary:
        temporary.write_text("whole")
    assert not alone.exists()


def test_folders_of_killed_processes(tmpdir: Path) -> None:
    left = left_by_a_kill(USE_FOLDER)
    assert left.parent == tmpdir
    (tmpdir / "srup-notes").mkdir()
    (tmpdir / "srup-notes" / "mine.txt").write_text("theirs")
    with at_work(USE_FOLDER) as (_, used), temporaries.folder() as own:
        files.remove_abandoned()
        assert {path.name for path in tmpdir.iterdir()} == {"srup-notes", used.name, own.name}
        assert (used / "sub" / "half").exists()
    assert not own.exists()


def test_a_link_to_a_folder_is_not_followed(tmpdir: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / temporaries.MARK).touch()
    (tmpdir / "srup-link").symlink_to(precious)
    (tmpdir / "srup-marked").mkdir()
    (tmpdir / "srup-marked" / temporaries.MARK).symlink_to(precious / temporaries.MARK)
    files.remove_abandoned()
    assert (precious / temporaries.MARK).exists()
    assert (tmpdir / "srup-marked").exists()


def test_the_cache(tmpdir: Path, cache: Path) -> None:
    (cache / "openvino").mkdir(parents=True)
    (cache / "weights").mkdir()
    (cache / "weights" / "a.pth.part").write_text("to be gone on with")
    left = [
        left_by_a_kill(WRITE, cache / "engines.json"),
        left_by_a_kill(USE_FOLDER, cache / "openvino"),
    ]
    files.remove_abandoned()
    assert not any(path.exists() for path in left)
    assert (cache / "weights" / "a.pth.part").exists()


def test_every_command_begins_with_it(tmpdir: Path, cache: Path) -> None:
    left = [left_by_a_kill(USE_FOLDER), left_by_a_kill(WRITE, cache.parent / "kept.txt")]
    done = subprocess.run([sys.executable, "-m", "srup", "models", "path"], capture_output=True)
    assert done.returncode == 0
    assert [path.exists() for path in left] == [False, True], "results are not looked for"


def test_killed_while_a_tiff_file_is_written(tmp_path: Path) -> None:
    """The pixels of each page are encoded into a second file first."""
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    script = (
        "import sys; from srup import read_pages, write_pages;"
        "write_pages(read_pages(sys.argv[1]), sys.argv[2])"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "noise.png"), str(tmp_path / "out.tif")]
    for _ in range(3):
        process = subprocess.Popen(words)
        while process.poll() is None and not list(tmp_path.glob(f".*{SCRATCH}")):
            pass
        process.kill()
        process.wait()
    assert subprocess.run(words).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"noise.png", "out.tif"}


def test_a_file_system_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(OSError), temporaries.folder(tmp_path / "nowhere"):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError), temporaries.held(tmp_path / "file"):
        pass
    temporaries.remove_abandoned_folders(tmp_path / "nowhere")
    assert not temporaries.is_abandoned(tmp_path / "nowhere")
    assert not temporaries.is_abandoned(tmp_path)


@pytest.mark.usefixtures("ends")
def test_a_pipe_in_place_of_the_mark_is_not_waited_for(tmpdir: Path) -> None:
    (tmpdir / "srup-pipe").mkdir()
    os.mkfifo(tmpdir / "srup-pipe" / temporaries.MARK)
    files.remove_abandoned()
    assert (tmpdir / "srup-pipe").exists()

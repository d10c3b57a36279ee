"""The README and the documents: commands run, links lead somewhere, tables are what is printed.

The table of formats is held by `tests/images/test_contract.py`.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from PIL import Image

from srup.cli import run, srup
from srup.errors import SrupError
from srup.images import carried, chunks, metadata, reading
from srup.models import costs, registry
from srup.networks.base import Network
from srup.serve.limits import ServiceLimits
from tests.conftest import in_windows
from tests.data.draw import draw

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
DOCS = ROOT / ".github" / "docs"
SECURITY = ROOT / ".github" / "SECURITY.md"
CHANGELOG = ROOT / ".github" / "CHANGELOG.md"
DOCUMENTS = [README, CHANGELOG, CONTRIBUTING, SECURITY, *sorted(DOCS.glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONGEST = 100  # characters of a line

# Every command of the documents stands in one of these three tables.
RUN = (
    "srup photo.jpg",
    "srup config",
    "srup inspect larger.png",
    "srup upscale photo.jpg -s 2",
    "srup upscale photo.jpg -s 2.5 -o larger.webp",
    "srup upscale photo.jpg --width 1920",
    "srup upscale photo.jpg --size 1920x1080",
    "srup upscale *.png -m imdn -o larger/",
    "srup upscale photo.jpg --strength 0.5",
    "srup upscale photo.jpg -x",
    "srup upscale photo.jpg -v",
    "srup upscale photo.jpg --precision fp32 -v",
    "srup upscale photo.jpg --dry-run",
    "srup upscale scan.tif animation.gif",
    "srup upscale huge.tif -s 2 -t 256 -v",
    "srup upscale old.png -m imdn --weights scans.pt",
    "srup upscale photo.jpg --weights mine.pth",
    "srup batch photos/ larger/ -m mine.pth",
    "srup models add mine.pth --name mine",
    "srup models info mine.pth",
    "srup upscale upload.png --max-pixels 50000000",
    "srup upscale upload.png --strip",
    "SRUP_OFFLINE=1 srup upscale upload.png",
    "cat photo.jpg | srup upscale - -s 2 -f webp -o - > larger.webp",
    "srup inspect photo.jpg",
    "srup inspect -r photos/ --json",
    "srup inspect photos/ -o found.csv",
    "srup models",
    "srup models --markdown",
    "srup models info lite",
    "srup models info lite-photo",
    "srup models download imdn",
    "srup train --help",
    "srup batch photos/ larger/",
    "srup batch photos/ larger/ -m lite",
    "srup batch photos/ larger/ --dry-run",
    "srup batch shards/ larger/",
    "srup batch shards/ larger/ --column photo",
    "srup batch photos/ larger/ --report larger.html",
    "srup batch -r photos/ larger/ -s 2 -f jpeg",
    "srup batch --from list.txt larger/ --json",
    "srup score results/ Set5/HR -s 4",
    "srup score results/ Set5/HR --lr Set5/LR_x4 -o scores.csv",
    "srup evaluate Set5/HR -m imdn -m lite -s 4",
    "srup compare photo.jpg -m lite -m imdn",
    "srup compare mine.png theirs.png --reference original.png",
    "srup features photo.jpg -m imdn -o grid.png",
    "srup completion bash",
    "srup completion fish > ~/.config/fish/completions/srup.fish",
    """echo 'eval "$(srup completion bash)"' >> ~/.bashrc""",
    """echo 'eval "$(srup completion zsh)"' >> ~/.zshrc""",
    "srup man",
    "mkdir -p ~/.local/share/man/man1 && srup man > ~/.local/share/man/man1/srup.1",
)
RUN_WHEN_SLOW = (
    "srup evaluate Kodak -m mine.pth -m lite -s 2",
    "srup evaluate Set5/HR -m imdn -m lite -s 4 -o set5.html",
    "srup evaluate Set14/HR -m imdn --lr Set14/LR_x4",
    "srup evaluate Kodak -m lite -m lite-photo -s 2",
    "srup evaluate Kodak -m lite -m imdn-rte -s 2 --degrade clean --degrade jpeg:75"
    " --degrade jpeg:50",
    "srup evaluate Kodak -m lite --degrade noise:5+jpeg:75",
    "srup evaluate Set5/HR -m lite -m imdn -m imdn-rtc -m imdn-rte -m lesrcnn -m rdsrn -s 2",
    "srup evaluate Set5/HR -m lite -m imdn -m lesrcnn -m rdsrn -s 3",
    "srup evaluate Set5/HR -m lite -m imdn -m imdn-plus -m lesrcnn -m rfdn -m rdsrn -s 4",
    "srup evaluate Set14/HR --edges clamp -m lite -m imdn -m imdn-plus -m lesrcnn -m rfdn"
    " -m rdsrn -s 4",
    "srup evaluate Set14/HR --edges clamp -m lesrcnn -s 4 --protocol truncated",
    "srup evaluate Set5/HR -m lite -m imdn -s 4 --engine openvino --precision bf16",
    "srup compare photo.jpg -m lite -m imdn -o compare.html",
    "srup compare photo.jpg -m lite -m imdn -s 4 -o compare.html",
    "srup bench -m lite -m imdn",
    "srup bench -m imdn --file photo.jpg --save",
    "python -m tests.benchmarks.png photo.png",
    "python -m tests.benchmarks.png larger.png",
    "python -m tests.benchmarks.inspect Kodak",
    "python -m tests.benchmarks.forecast Kodak/01.png",
)
INTERNET = "needs the internet; .ci/run begins with one like it"
PROGRAMS = "needs a program that pip does not bring"
GPUS = "needs graphics processors"
CLUSTER = "needs a cluster; tests/batch/executors has one of its own"
CONTAINERS = "needs podman or docker and the internet; tests/test_installing.py reads the file"
FIGURES = "measures for minutes or hours; documents print what it said"
TRAINING = "trains for hours; tests/cli/test_train.py has short runs"
NEVER_ENDS = "never ends; tests/cli/test_batch.py stops it"
SERVES = "serves until it is stopped, or asks a server; tests/serve has one"
ESPCN = "the network is only an example"
UV = "uv tool install --torch-backend cpu ."
PIPX = "pipx install --pip-args='--extra-index-url https://download.pytorch.org/whl/cpu' ."
CONTAINER = '-v "$PWD:/pictures" -v srup-cache:/cache srup upscale photo.jpg'
CHECKPOINTS = "needs files of networks of others, or one command after another; tests/cli/"
CHECKPOINTS += "test_checkpoints.py runs them"
NOT_RUN = {
    "srup upscale photo.jpg -m mine": CHECKPOINTS,
    "srup models remove mine": CHECKPOINTS,
    "srup upscale photo.jpg -m mine.onnx": CHECKPOINTS,
    "srup upscale photo.jpg -m restore.pth -m lite -s 2": CHECKPOINTS,
    "pip install --no-deps spandrel": INTERNET,
    "pip install einops safetensors": INTERNET,
    "python -m tests.benchmarks.checkpoints": FIGURES,
    "python -m tests.fuzz --cases 100000 --seed 1 --target read --jobs 2 --found found": FIGURES,
    "python -m tests.fuzz --target read --cases 10000 --seed 1": FIGURES,
    "python -m tests.fuzz --target write --cases 10000 --seed 1": FIGURES,
    "python -m tests.fuzz --target metadata --cases 10000 --seed 1": FIGURES,
    "python -m tests.fuzz --target weights --cases 200 --seed 1": FIGURES,
    "python -m tests.fuzz --target http --cases 150 --seed 1": FIGURES,
    "python -m tests.fuzz --target request --cases 4000 --seed 2": FIGURES,
    "pytest -m slow tests/cli/test_batch.py -k killed": FIGURES,
    UV: PROGRAMS,
    PIPX: PROGRAMS,
    "man srup": "needs man, and the page in its place; tests/cli/test_man.py shows it",
    "podman build -f .github/Containerfile -t srup .": CONTAINERS,
    f"podman run --rm --userns keep-id {CONTAINER}": CONTAINERS,
    "docker build -f .github/Containerfile -t srup .": CONTAINERS,
    f'docker run --rm --user "$(id -u)" {CONTAINER}': CONTAINERS,
    "srup bench --pressure": "fills most of the memory",
    "python3 -m venv .venv && .venv/bin/pip install . && "
    ".venv/bin/python tests/data/draw.py sample.png && .venv/bin/srup upscale sample.png": INTERNET,
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' &&"
    " .venv/bin/pip install -q --no-deps spandrel && .venv/bin/pytest -n auto": (INTERNET),
    "srup batch photos/ larger/ --watch": NEVER_ENDS,
    "srup serve": SERVES,
    "srup serve --open": SERVES,
    "srup serve --port 8080 -m imdn": SERVES,
    "SRUP_TOKEN=$(cat token) srup serve --host 0.0.0.0": SERVES,
    "srup upscale photo.jpg --server http://127.0.0.1:7000": SERVES,
    "curl --data-binary @photo.jpg '127.0.0.1:7000/v1/upscale?scale=2' -o larger.png": SERVES,
    "curl -F image=@photo.jpg -F model=imdn -H 'Accept: image/webp' 127.0.0.1:7000/v1/upscale"
    " -o a.webp": SERVES,
    "curl -F sr=@photo_x4.png -F hr=@photo.png 127.0.0.1:7000/v1/score": SERVES,
    "srup batch photos/ larger/ -d cuda:0,cuda:1": GPUS,
    "srup batch photos/ larger/ -d all": GPUS,
    "ray start --head": CLUSTER,
    "srup batch s3://bucket/photos s3://bucket/larger --cluster auto": CLUSTER,
    "python -m tests.benchmarks.cluster ../shared/datasets/Kodak": CLUSTER,
    "python -m tests.benchmarks.scale --measure": CLUSTER,
    "python -m tests.benchmarks.shards --shards 8 --each 12 --runs 1": CLUSTER,
    "python -m tests.benchmarks.scale": FIGURES,
    "python -m tests.benchmarks.million": FIGURES,
    "python -m tests.benchmarks.serve --seconds 120 --runs 5": FIGURES,
    "python -m tests.fuzz --target shards --cases 400 --seed 1": FIGURES,
    "python -m tests.fuzz --target onnx --cases 1000 --seed 1": FIGURES,
    "pytest -m slow tests/batch/shards/test_killed.py": FIGURES,
    "TMPDIR=/big/disk srup upscale upload.png": "needs a disk of that name",
    "/usr/bin/time -v srup upscale photo.png -m lite -s 4 --engine openvino": FIGURES,
    "/usr/bin/time -v srup upscale photo.png -m imdn -s 4": FIGURES,
    "srup bench": FIGURES,
    "srup bench -m lite -m imdn -m rfdn -m lesrcnn -m edsr-baseline -m rdsrn": FIGURES,
    "srup bench -m lite -s 2 --side 500 --side 1000 --side 2000 --side 4000": FIGURES,
    "srup bench -m imdn --pressure --precision bf16 --side 724": "fills most of the memory",
    "python -m tests.benchmarks.strength Kodak --every 2": FIGURES,
    "python -m tests.benchmarks.published": FIGURES,
    "python -m tests.benchmarks.cores --model lite": FIGURES,
    "python -m tests.benchmarks.fused photo.png lite imdn rfdn rdsrn": FIGURES,
    "pytest -m slow -k photographs -s": FIGURES,
    "pytest tests/models tests/networks tests/inference/engines -k espcn": ESPCN,
    "srup models download espcn": ESPCN,
    "srup evaluate Set5/HR -m espcn -s 2": ESPCN,
    "srup evaluate Set14/HR --edges clamp -m espcn -s 2 --precision bf16": ESPCN,
    "srup train lite photos/ -o mine.pt --clip 0.1 --validate held_out/": TRAINING,
    "srup train imdn scans/ -s 4 --from published --loss l2 --rate 2e-6 --steps 300 -o scans.pt": (
        TRAINING
    ),
    "srup train lite photos/ -o lite-photo.pt --from published --degrade photo "
    "--validate held_out/": TRAINING,
}

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)

PHOTO = "photo.jpg"  # which is not here: `srup photo.jpg` is `srup upscale photo.jpg`
# the network that CONTRIBUTING adds, and checkpoints of the reader
NOT_HERE = {"espcn", "mine", "mine.pth", "mine.onnx", "restore.pth"}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 160


@every_document
def test_lines_are_short(document: Path) -> None:
    lines = document.read_text().splitlines()
    assert [line for line in lines if len(line) > LONGEST and not line.startswith("|")] == []


def test_the_table_of_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--markdown"]) == 0
    assert capsys.readouterr().out.strip() in (DOCS / "networks.md").read_text()


def blocks(document: Path, *languages: str) -> list[str]:
    """The fenced blocks of a document in these languages."""
    found = FENCED.findall(document.read_text())
    return [text for language, text in found if language in languages]


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return FENCED.sub("", document.read_text())


def command_lines() -> list[str]:
    """The `srup …` lines in the shell blocks of every document."""
    found: set[str] = set()
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            found |= set(re.findall(r"(?:^|\| )(srup .*)$", block, re.MULTILINE))
    return sorted(found)


def mentions() -> list[str]:
    """The `srup …` code spans of every document that leave nothing out."""
    found: set[str] = set()
    for document in DOCUMENTS:
        for span in re.findall(r"`(srup\s[^`]+)`", prose(document)):
            found.add(" ".join(span.split()))
    return sorted(line for line in found if "…" not in line)


def documented() -> set[str]:
    """Every command of the documents: lines of shell blocks, and code spans that name files."""
    found: set[str] = set()
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            lines = block.replace("&&\n", "&& ").splitlines()
            found |= {" ".join(re.sub(r"\s#\s.*", "", line).split()) for line in lines}
    return {line for line in found if line} | {line for line in mentions() if is_whole(line)}


def is_whole(line: str) -> bool:
    """Whether a command that prose mentions could be run as it is."""
    if re.search(r" [A-Z]{4,}", line):  # a name that stands for others
        return False
    try:
        parse(line)
    except click.UsageError:  # what is wrong rather than missing fails another test
        return False
    return True


def test_every_command_is_run_or_named_as_one_that_is_not() -> None:
    named = [*RUN, *RUN_WHEN_SLOW, *NOT_RUN]
    assert sorted(set(named)) == sorted(named)
    assert documented() == set(named)


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoints: Path) -> Path:
    """A folder with all that commands of the documents name, as small as can be."""
    folder = tmp_path / "things"
    small, large = draw(24, 18), draw(96, 72)
    save(large, folder / "photo.jpg")
    for name in ("photos/a.jpg", "photos/deep/b.jpg", "larger.png", "huge.tif"):
        save(small, folder / name)
    for name in ("photo", "upload", "old", "mine", "theirs", "original", "Kodak/01"):
        save(large if "Kodak" in name else small, folder / f"{name}.png")
    for name in ("Set5", "Set14"):
        save(large, folder / name / "HR" / "star.png")
        save(small, folder / name / "LR_x4" / "star.png")
    save(large, folder / "results" / "star_x4.png")
    frames = {"save_all": True, "append_images": [draw(24, 18).rotate(180)]}
    save(small, folder / "scan.tif", **frames)
    save(small.convert("L"), folder / "animation.gif", **frames)
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "data-000000.tar", "w") as tar:
        tar.add(folder / "upload.png", "0.png")
    (folder / "list.txt").write_text("photo.jpg\nphotos/a.jpg\n")
    for name in ("scans.pt", "mine.pth"):
        (folder / name).symlink_to(checkpoints / "weights" / "imdn_x4.pth")
    (folder / ".config/fish/completions").mkdir(parents=True)  # fish makes it
    monkeypatch.chdir(folder)
    return folder


def save(picture: Image.Image, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)


@pytest.mark.parametrize(
    "line", [*RUN, *(pytest.param(line, marks=pytest.mark.slow) for line in RUN_WHEN_SLOW)]
)
def test_a_command_runs(line: str, things: Path) -> None:
    if line.startswith("srup ") and not re.search("[|>]", line):
        words = shlex.split(line.replace("*.png", "photo.png upload.png"))
        assert run(words[1:]) == 0
        return
    settings = {"HOME": str(things), "PYTHONPATH": str(ROOT)}
    begin = f'python() {{ {sys.executable} "$@"; }}; srup() {{ python -m srup "$@"; }}; '
    done = subprocess.run(
        ["sh", "-c", begin + line], env={**os.environ, **settings}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line: str) -> None:
    """The commands and options exist, and values are of the right type."""
    parse(line)


@pytest.mark.parametrize("line", mentions())
def test_mentions_of_commands_parse(line: str) -> None:
    """The same, where prose may name a command without its arguments."""
    try:
        parse(line)
    except click.MissingParameter:
        return


def parse(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    for end in (">", "|"):
        words = words[: words.index(end)] if end in words else words
    words = ["upscale", *words] if words[0] == PHOTO else words
    command: click.Command = srup
    context = click.Context(srup)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, within, words = command.resolve_command(context, words)
        assert within is not None, f"{command.name} has no command {name}"
        command = within
    if "--help" in words:
        return
    try:
        with command.make_context(command.name, list(words)):
            pass
    except SrupError as error:
        if NOT_HERE.isdisjoint(words):
            pytest.fail(str(error))


@every_document
def test_modules_that_are_run_exist(document: Path) -> None:
    for module in re.findall(r"python -m (tests[\w.]*)", document.read_text()):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


@every_document
def test_python_examples_are_python(document: Path) -> None:
    for block in blocks(document, "python"):
        ast.parse(block)


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(SECURITY.read_text().split())
    assert f"{reading.MAX_PIXELS // 10**6} megapixels are allowed" in text
    assert f"and {reading.MAX_PAGES:,} pages" in text
    assert carried.MAX_BYTES == chunks.MAX_BYTES
    assert f"{carried.MAX_BYTES >> 20} MB of it are read" in text
    assert f"{metadata.MAX_TAGS:,} tags of an EXIF block" in text


def test_the_limits_of_the_service_are_those_of_the_code() -> None:
    text = " ".join((DOCS / "serve.md").read_text().split())
    assert f"no slower than {ServiceLimits.upload_rate >> 10} kB a second on average" in text
    assert f"after the first {ServiceLimits.upload_seconds:g} seconds" in text


def test_security_is_short() -> None:
    assert len(SECURITY.read_text().splitlines()) <= 60


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
            if not target.startswith("https://"):
                yield document, target


def anchors(document: Path) -> set[str]:
    """What a link writes after # for each heading: GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("document", "target"),
    [pytest.param(*link, id=f"{link[0].name}-{link[1]}") for link in links()],
)
def test_links_lead_somewhere(document: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (document.parent / path).resolve() if path else document
    assert file.is_file()
    assert not anchor or anchor in anchors(file)


def test_the_readme_links_to_every_document() -> None:
    linked = {
        (README.parent / target).resolve() for document, target in links() if document == README
    }
    assert set(DOCUMENTS) - linked == {README}


def executed(name: str, **given: object) -> dict[str, Any]:
    """What the code of CONTRIBUTING's worked example that is marked with this name defines."""
    pattern = rf"<!-- example: {name} -->\n```python\n(.*?)^```$"
    found = re.search(pattern, CONTRIBUTING.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    exec(compile(found[1], name, "exec", dont_inherit=True), given)
    return given


def test_the_worked_example(noise: Callable[[int, int], torch.Tensor]) -> None:
    """The network that CONTRIBUTING adds is exact under tiling, and costs what its row says."""
    module = executed("network", __name__="espcn")
    table = executed("rows", Model=registry.Model, _github=registry._github)
    _, row = table["MODELS"]
    network: Network = module["ESPCN"](**row.options).eval()
    parameters, multi_adds = costs.cost(network)
    assert (row.parameters, row.multi_adds) == (parameters, round(multi_adds, 1))
    assert row.largest == costs.largest_map(network)
    image = noise(61, 50)
    with torch.no_grad():
        expected = network(image)
        result = in_windows(network.stages(), image, 16)
    assert torch.linalg.norm(result - expected) / torch.linalg.norm(expected) < 3e-6

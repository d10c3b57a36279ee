"""`python -m tests.fuzz --cases 10000`: attacks srup, and says what falls."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tests.fuzz.campaign import HEAD, campaign, reproductions
from tests.fuzz.judging import Judge
from tests.fuzz.targets import TARGETS


@click.command()
@click.option("--cases", default=1000, show_default=True, help="Cases of each target.")
@click.option(
    "--target",
    "names",
    multiple=True,
    type=click.Choice(list(TARGETS)),
    help="What is attacked; repeat for several.  [default: everything]",
)
@click.option("--seed", default=0, show_default=True, help="Other cases for every seed.")
@click.option("--jobs", default=1, show_default=True, help="Processes side by side.")
@click.option(
    "--found",
    type=click.Path(path_type=Path),
    default=Path("found"),
    show_default=True,
    help="The folder for what goes wrong, made small.",
)
@click.option(
    "--case",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Judge this file, of the one target named, and nothing else.",
)
def main(
    cases: int, names: tuple[str, ...], seed: int, jobs: int, found: Path, case: Path | None
) -> None:
    """Attacks srup, and says what falls. The exit code is 1 if anything does."""
    names = names or tuple(TARGETS)
    if case:
        with Judge(names[0]) as judge:
            outcome = judge.outcome(case.read_bytes())
        print(outcome.verdict, outcome.where, outcome.about, sep="\n")
        sys.exit(outcome.wrong)
    print(HEAD, flush=True)
    wrong = False
    for name in names:
        summary = campaign(name, cases, seed, jobs=jobs)
        print(summary.line(), flush=True)
        for path in reproductions(summary, found) if summary.findings else ():
            wrong = True
            print(f"  {path}: {path.with_suffix('.txt').read_text().splitlines()[0]}", flush=True)
    sys.exit(wrong)


main()

"""Many cases of a target, and what was found."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fuzz.judging import LIMIT, Judge, Outcome
from tests.fuzz.shrinking import shrunk

COLUMNS = ("target", "cases", "ok", "refused", "foreign", "hangs", "deaths", "over memory")
FORMAT = "{:<9} {:>8} {:>8} {:>8} {:>8} {:>6} {:>7} {:>12} {:>9} {:>10}"


@dataclass
class Summary:
    """What became of the cases of a target. `findings` is where → the first case and its count."""

    name: str
    verdicts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, tuple[Outcome, int]] = field(default_factory=dict)
    slowest: float = 0.0  # seconds
    peak: int = 0  # bytes

    def add(self, outcome: Outcome) -> None:
        self.verdicts[outcome.verdict] += 1
        self.slowest, self.peak = max(self.slowest, outcome.seconds), max(self.peak, outcome.peak)
        if outcome.wrong:
            first, count = self.findings.get(outcome.where, (outcome, 0))
            self.findings[outcome.where] = first, count + 1

    def line(self) -> str:
        counts = [self.verdicts[each] for each in ("ok", "refused", "foreign", "hang", "death")]
        figures = (*counts, self.verdicts["memory"], f"{self.slowest:.1f} s")
        cases = sum(self.verdicts.values())
        return FORMAT.format(self.name, cases, *figures, f"{self.peak / 1e6:.0f} MB")

    def told(self) -> str:
        """The findings in full."""
        texts = []
        for where, (outcome, count) in self.findings.items():
            texts.append(f"{outcome.verdict}, {count} times: {where}\n{outcome.about}")
        return "\n".join(texts)


HEAD = FORMAT.format(*COLUMNS, "slowest", "peak")


def campaign(
    name: str, cases: int, seed: int = 0, *, jobs: int = 1, limit: float = LIMIT
) -> Summary:
    """What becomes of so many cases of a target, judged by `jobs` processes."""
    summary = Summary(name)

    def judged(numbers: Iterable[int]) -> list[Outcome]:
        with Judge(name, seed, limit=limit) as judge:
            return [_light(judge.outcome(number)) for number in numbers]

    with ThreadPoolExecutor(jobs) as pool:
        for outcomes in pool.map(judged, (range(first, cases, jobs) for first in range(jobs))):
            for outcome in outcomes:
                summary.add(outcome)
    return summary


def _light(outcome: Outcome) -> Outcome:
    """Without what nobody asks for any more: of most cases, their bytes."""
    return outcome if outcome.wrong else replace(outcome, case=b"", about="")


def reproductions(summary: Summary, folder: Path, *, limit: float = LIMIT) -> Iterator[Path]:
    """Writes the first case of each finding, made smaller, and beside it what goes wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    with Judge(summary.name, limit=limit) as judge:
        for where, (outcome, count) in summary.findings.items():
            case = shrunk(outcome.case, lambda each, at=where: judge.outcome(each).where == at)  # type: ignore[misc]
            digest = hashlib.sha256(where.encode()).hexdigest()[:8]
            path = folder / f"{summary.name}-{digest}"
            path.write_bytes(case)
            about = f"{outcome.verdict}, {count} times: {where}\n\n{outcome.about}"
            path.with_suffix(".txt").write_text(about, errors="backslashreplace")
            yield path

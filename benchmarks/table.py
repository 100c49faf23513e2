"""Cases, the rounds in which they are measured, and the Markdown table of what came out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Unit:
    """What a figure counts.

    Attributes:
        more_is_better: a rate; else a time or a size.
        show: a figure as text.
    """

    more_is_better: bool
    show: Callable[[float], str]


def _show_rate(rate: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g} {letter}/s"
    return f"{rate:.3g}/s"


def _show_seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _show_bytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


RATE = Unit(True, _show_rate)
SECONDS = Unit(False, _show_seconds)
BYTES = Unit(False, _show_bytes)


@dataclass(frozen=True)
class Goal:
    """What is to be reached.

    Attributes:
        text: as it stands in the table.
        bound: of the ratio, where `of_ratio` is set, else of the figure itself. It is a lower
            bound for ratios and for units where more is better.
        of_ratio: whether the ratio is meant.
        in_every_round: whether the worst of all rounds is to reach it, in place of their median.
    """

    text: str
    bound: float
    of_ratio: bool = False
    in_every_round: bool = False

    def is_reached(self, figure: float, ratio: float | None, unit: Unit) -> bool:
        """Whether a case has reached it."""
        if self.of_ratio:
            return ratio is not None and ratio >= self.bound
        return figure >= self.bound if unit.more_is_better else figure <= self.bound


@dataclass(frozen=True)
class Row:
    """One line of the table: a name, what its figures count, and the goal if there is one."""

    name: str
    unit: Unit
    goal: Goal | None = None


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        rows: the lines it fills in; a figure of `measure` belongs to the line of the same key.
        measure: takes one measurement.
    """

    rows: Mapping[str, Row]
    measure: Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Section:
    """Cases that are compared with each other.

    Attributes:
        key: selects it on the command line.
        title: what is done.
        cases: in the order of the table.
        rounds: how often each is measured.
        reference: names of rows; ratios are against the one of these with the best median.
    """

    key: str
    title: str
    cases: list[Case]
    rounds: int
    reference: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What was measured of one row.

    Attributes:
        figures: by round.
        failure: why there are none from then on.
    """

    row: Row
    figures: dict[int, float] = field(default_factory=dict)
    failure: str | None = None

    @property
    def median(self) -> float:
        """Of all rounds."""
        return median(self.figures.values())

    @property
    def judged(self) -> float:
        """What is held against the goal."""
        if self.row.goal is None or not self.row.goal.in_every_round:
            return self.median
        worst = min if self.row.unit.more_is_better else max
        return worst(self.figures.values())

    def ratio_to(self, reference: Outcome) -> float | None:
        """How many times as good as the reference: the median of the rounds' own ratios.

        Within a round both had the same neighbours on the machine.
        """
        rounds = self.figures.keys() & reference.figures.keys()
        if not rounds:
            return None
        ratios = [self.figures[number] / reference.figures[number] for number in rounds]
        ratio = median(ratios)
        return ratio if self.row.unit.more_is_better else 1 / ratio


def measure_section(section: Section) -> list[Outcome]:
    """Measure all cases of a section, one after the other in each round."""
    outcomes = {
        (case_number, key): Outcome(row)
        for case_number, case in enumerate(section.cases)
        for key, row in case.rows.items()
    }
    for round_number in range(section.rounds):
        numbered = list(enumerate(section.cases))
        if round_number % 2:
            # So that nobody always comes right behind the same neighbour.
            numbered.reverse()
        for case_number, case in numbered:
            mine = {key: outcomes[case_number, key] for key in case.rows}
            _say(f"{section.key}: round {round_number + 1} of {section.rounds}, {_name(case)}")
            _measure(case, mine, round_number)
    return list(outcomes.values())


def _measure(case: Case, outcomes: Mapping[str, Outcome], round_number: int) -> None:
    if any(outcome.failure for outcome in outcomes.values()):
        return
    try:
        figures = case.measure()
    except Exception as error:
        # One contender that fails must not take the others' figures with it.
        for outcome in outcomes.values():
            outcome.failure = explain(error)
        return
    for key, outcome in outcomes.items():
        if key in figures:
            outcome.figures[round_number] = figures[key]


def explain(error: BaseException) -> str:
    """What went wrong in one line; of a group, the first error that is none."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".replace("\n", " ")


def _name(case: Case) -> str:
    return next(iter(case.rows.values())).name


def _say(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    clear = "\x1b[2K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}{text}{end}")
    sys.stderr.flush()


TABLE_HEAD = """\
| work | contender | median | least to most | ratio | goal | reached |
|---|---|--:|--:|--:|--:|:-:|"""


def choose_sections(sections: Sequence[Section], names: Sequence[str]) -> list[Section]:
    """Those with one of the names in their keys; all of them where there are no names."""
    return [s for s in sections if not names or any(name in s.key for name in names)]


def print_sections(sections: Sequence[Section], *, quick: bool) -> bool:
    """Measure the sections and print each as soon as it is done.

    Args:
        sections: in the order of the table.
        quick: whether the figures mean nothing, so that no goal is judged by them.

    Returns:
        Whether a case has failed.
    """
    if quick:
        print("A quick run, which only shows that everything works: its figures mean nothing.")
    print(f"\n{TABLE_HEAD}", flush=True)
    failed = False
    for section in sections:
        outcomes = measure_section(section)
        failed = failed or any(outcome.failure for outcome in outcomes)
        print(*format_section(section, outcomes, judge=not quick), sep="\n", flush=True)
    return failed


def format_section(section: Section, outcomes: list[Outcome], *, judge: bool) -> Iterator[str]:
    """The section's lines of the table; `judge` says whether goals were reached."""
    reference = _best(section, outcomes)
    work = section.title
    for outcome in outcomes:
        if outcome.figures or outcome.failure:
            yield (
                "| "
                + " | ".join([work, outcome.row.name, *_cells(outcome, reference, judge)])
                + " |"
            )
            work = ""


def _best(section: Section, outcomes: list[Outcome]) -> Outcome | None:
    candidates = [
        outcome
        for outcome in outcomes
        if outcome.row.name in section.reference and outcome.figures and not outcome.failure
    ]
    if not candidates:
        return None
    more_is_better = candidates[0].row.unit.more_is_better
    choose = max if more_is_better else min
    return choose(candidates, key=lambda outcome: outcome.median)


def _cells(outcome: Outcome, reference: Outcome | None, judge: bool) -> list[str]:
    row = outcome.row
    goal_text = row.goal.text if row.goal else ""
    if outcome.failure:
        return [
            "failed",
            outcome.failure.replace("|", "/"),
            "",
            goal_text,
            "no" if row.goal else "",
        ]
    figures = outcome.figures.values()
    ratio = None
    if reference is not None and reference.row.unit is row.unit:
        ratio = outcome.ratio_to(reference)
    reached = ""
    if row.goal and judge:
        reached = "yes" if row.goal.is_reached(outcome.judged, ratio, row.unit) else "**no**"
    show = row.unit.show
    spread = f"{show(min(figures))} to {show(max(figures))}" if len(figures) > 1 else ""
    return [show(outcome.median), spread, _show_ratio(ratio), goal_text, reached]


def _show_ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:.0f}"


def parse_sections(
    description: str, keys: Iterable[str], quick: str, rounds: int | None = None
) -> argparse.Namespace:
    """The command line of a benchmark: `quick`, and `only`, a list of parts of names.

    Where `rounds` are given, there is such an option as well, with this default.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog=f"The sections: {', '.join(keys)}."
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only the sections with this in their names; may be given again",
    )
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="of each measurement")
    return parser.parse_args()

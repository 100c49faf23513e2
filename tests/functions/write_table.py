"""Writes the table of cases into the documents: ``python tests/functions/write_table.py``."""

from __future__ import annotations

from pathlib import Path

from cases import ALL, SCRIPTS, Case

PAGE = Path(__file__).parents[2] / "docs" / "functions.md"
START, END = "<!-- cases -->", "<!-- end of cases -->"


def table() -> str:
    """The table, in Markdown."""
    lines = []
    for script, heading in SCRIPTS.items():
        lines += [f"### {heading}", "", "| case | here and on equal machines | elsewhere |"]
        lines += ["|---|---|---|"]
        lines += [_row(case) for case in ALL if case.script == script]
        lines += [""]
    return "\n".join(lines)


def _row(case: Case) -> str:
    cells = [_outcome(case.refusal), _outcome(case.portable_refusal)]
    return f"| {_escaped(case.name)} | {' | '.join(cells)} |"


def _outcome(refusal: str) -> str:
    return f"refused: {_escaped(refusal)} …" if refusal else "same"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<").replace("_", "\\_").replace("*", "\\*")


def main() -> None:
    """Put the table in its place."""
    text = PAGE.read_text("utf-8")
    start, end = text.index(START) + len(START), text.index(END)
    PAGE.write_text(f"{text[:start]}\n{table()}\n{text[end:]}", "utf-8")


if __name__ == "__main__":
    main()

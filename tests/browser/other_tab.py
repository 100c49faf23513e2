"""The volunteer page in a browser that Playwright does not drive as it is installed."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Any

from ..processes import GENEROUS_SECONDS, wait_until

PATIENCE_SECONDS = 3 * GENEROUS_SECONDS


class OtherTab(ABC):
    """A tab."""

    @abstractmethod
    def go(self, url: str) -> None:
        """Open a page in it."""

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """The value of an expression, or what it promises, in the page."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def text(self, name: str) -> str:
        """The text of an element, by its identifier."""
        return str(self.evaluate(f"document.getElementById({json.dumps(name)})?.textContent ?? ''"))

    @property
    def state(self) -> str:
        """All that it says of its state."""
        return " ".join(filter(None, map(self.text, ("state", "detail", "next"))))

    @property
    def results(self) -> int:
        """How many items it says it has done."""
        return int("0" + re.sub(r"\D", "", self.text("results")))

    def says(self, words: str) -> bool:
        """Whether its state soon has these words, a regular expression."""
        return wait_until(lambda: re.search(words, self.state) is not None, PATIENCE_SECONDS)

    def computes(self, results: int = 1) -> bool:
        """Whether it soon has so many results."""
        return wait_until(lambda: self.results >= results, PATIENCE_SECONDS)

    def start(self, workers: int = 1) -> None:
        """Start it as soon as it can be started."""
        assert self.says("asks for your help"), self.state
        self.evaluate(f"document.getElementById('workers').value = {workers}")
        self.evaluate("document.getElementById('start').click()")

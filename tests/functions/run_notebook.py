"""Runs cells in a real kernel: a JSON list of texts comes in, what each prints goes out."""

from __future__ import annotations

import json
import sys

import nbformat
from nbclient import NotebookClient


def outcome(cell: nbformat.NotebookNode) -> str:
    """What a cell prints, shows and raises."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif output.output_type == "error":
            texts.append(f"{output.ename}: {output.evalue}\n")
        elif output.output_type in ("execute_result", "display_data"):
            texts.append(output.data.get("text/plain", "") + "\n")
    return "".join(texts)


def main() -> None:
    """Run the cells one after the other, whatever they raise."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)]
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    client.execute()
    sys.stdout.write(json.dumps([outcome(cell) for cell in notebook.cells]))


if __name__ == "__main__":
    main()

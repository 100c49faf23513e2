"""The site: Sphinx, with pages in Markdown. `bin/docs` builds it, without the network."""

from __future__ import annotations

import html
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import pando  # noqa: E402 - the one of this folder

project = "Pando"
author = project_copyright = "The Pando authors"
version = release = pando.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "node_modules", "for-the-owner.md"]
default_role = "code"

myst_enable_extensions = ["colon_fence"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings name the types, and the signatures stay readable
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"Pando {version}"
html_static_path = ["diagrams.js", "node_modules/mermaid/dist/mermaid.min.js"]
html_copy_source = False
pygments_style = "default"


GIVEN = {"AsyncResults", "ResultStream", "Results", "Run", "RunStatistics", "SyncRun"}


class Mermaid(SphinxDirective):
    """A diagram, which Mermaid's script draws in the browser."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Put the diagram's text where the script looks for it."""
        text = html.escape("\n".join(self.content))
        return [nodes.raw("", f'<pre class="mermaid">{text}</pre>', format="html")]


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load Mermaid's script, which is large, only where a page has diagrams."""
    if 'class="mermaid"' in context.get("body", ""):
        app.add_js_file("mermaid.min.js")
        app.add_js_file("diagrams.js")


def hide_constructors(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: Any
) -> tuple[str | None, Any]:
    """Show no arguments of classes that users are given and do not make."""
    if what == "class" and name.removeprefix("pando.") in GIVEN:
        return "", returned
    return signature, returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the diagrams."""
    app.add_directive("mermaid", Mermaid)
    app.connect("html-page-context", add_scripts)
    app.connect("autodoc-process-signature", hide_constructors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Print the requirements of a dependency group of a pyproject.toml, one a line.

Older versions of pip have no option for this.
"""

import sys
import tomllib
from pathlib import Path

project, group = sys.argv[1:]
print("\n".join(tomllib.loads(Path(project).read_text("utf-8"))["dependency-groups"][group]))

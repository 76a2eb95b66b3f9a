"""Print what requirements.lock is resolved from: pyproject's dependencies and dev extra, torch's own in torch's place.

torch is left out of the hashed file, since its CPU and CUDA builds differ; what it needs to run is not.
"""

import re
import tomllib
from pathlib import Path

TORCH_NEEDS = ["filelock", "fsspec", "jinja2", "networkx", "setuptools>=77", "sympy", "typing-extensions"]

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
print("\n".join([line for line in wanted if re.match(r"[\w-]+", line).group() != "torch"] + TORCH_NEEDS))

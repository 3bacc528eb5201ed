"""The published evaluation cases, expanded.

A file of cases stands for one copy per map of ``parameters``, or per combination of maps; constants and
parameters are put in as text before the file is read as YAML 1.2.
"""

import itertools
import json
import os
import re
from pathlib import Path

from ruamel.yaml import YAML

FOLDER = Path(os.environ.get("FLAGSTAFF_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
EVALUATION_CASES = FOLDER / "sdk-test-data" / "server-side-eval"


def load(text):
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml.load(text)


def copies(path):
    """All copies of a file, with everything put in."""
    text = path.read_text()
    plain = load(text)
    constants = plain.get("constants") or {}
    for parameters in combinations(plain.get("parameters") or []):
        copy = text
        for names in (constants, parameters, constants):
            copy = substitute(copy, names)
        yield load(copy)


def combinations(parameters):
    if not parameters:
        return [{}]
    if isinstance(parameters[0], list):
        return [
            {name: value for one in choice for name, value in one.items()}
            for choice in itertools.product(*parameters)
        ]
    return parameters


def substitute(text, names):
    def as_json(match):
        name = match.group(1)
        return json.dumps(names[name]) if name in names else match.group(0)

    def as_text(match):
        name = match.group(1)
        if name not in names:
            return match.group(0)
        return names[name] if isinstance(names[name], str) else json.dumps(names[name])

    return re.sub(r"<([^<>\s]+)>", as_text, re.sub(r'"<([^<>\s"]+)>"', as_json, text))


def files():
    return sorted(EVALUATION_CASES.glob("*.yml"))

"""quote_numbers: strings that look like numbers to rcl are quoted in parameter files.

PyYAML writes the string 1e3 without quotes, because YAML 1.1 wants a dot in a float. rcl reads it with strtod
(rcl_yaml_param_parser, src/parse.c), so a string parameter would get a number.
"""

from __future__ import annotations

import re

import yaml

NUMBER = re.compile(r"^[-+]?(\d+e[-+]?\d+|inf|infinity|nan|0x[\da-f.]+p[-+]?\d+)$", re.IGNORECASE)


def quote_numbers(dumper: type[yaml.Dumper | yaml.SafeDumper]) -> None:
    """Let a dumper quote strings that only rcl takes for numbers."""
    dumper.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+0123456789iInN"))

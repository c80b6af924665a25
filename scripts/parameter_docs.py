"""docs/parameters.md, made of the specifications that the nodes declare their parameters from.

python3 scripts/parameter_docs.py > docs/parameters.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from trt_ssd_ros.camera.parameters import CAMERA_NODE
from trt_ssd_ros.node.parameter_table import DETECTOR_NODE
from trt_ssd_ros.ros.parameters import Kind, ParameterSpec

INTRODUCTION = """\
# Parameters

Made by `python3 scripts/parameter_docs.py > docs/parameters.md`; a test checks that it is up to date.
`ros2 param describe /detector score_threshold` says the same.

## Detector node, live

Set while images flow, by `ros2 param set /detector NAME VALUE` or a parameter service. A change acts on the
next image that the engine takes, never on one it has begun. What the service `set_parameters_atomically` sets
together is checked together and acts together; `set_parameters` takes one after the other, as ROS has it. A set
that is refused changes nothing and says what was found and what was expected; for the name of a class that the
model does not have, those that are near. `label_info` is published again when a threshold changes; its
`threshold` is the lowest of all classes.

"""

LISTS = """
Lists on a command line, where `[]` clears a list of names:

```bash
ros2 param set /detector include_classes "[Cat, Coffee cup]"
ros2 param set /detector class_thresholds "[Cat=0.5, Coffee cup=0.2]"
ros2 param set /detector exclude_classes "[]"
ros2 param set /detector roi "[0.25, 0.0, 0.5, 1.0]"    # the middle half
ros2 run trt_ssd_ros detector_node --ros-args -p roi:="[320, 0, 640, 720]"
```

In files and after `-p`, ROS wants the numbers of one list all with a point or all without.

## Detector node, fixed

Set when the node starts: in a parameter file (`config/detect.yaml`) or by `-p NAME:=VALUE`. Setting one later is
refused.

"""

FROM_ROS = """
ROS adds `use_sim_time`, `qos_overrides.*` (reliability, history and depth of `detections` and of published
pictures; reliability and durability of the images that are taken, of which the newest is kept),
`diagnostic_updater.period` (seconds) and `diagnostic_updater.use_fqn`.
"""

CAMERA = """
## Camera node, fixed

"""

HEAD = "| parameter | type | default | values | meaning |\n|---|---|---|---|---|\n"


def parameters_page() -> str:
    """Return docs/parameters.md."""
    live = [spec for spec in DETECTOR_NODE if not spec.fixed]
    fixed = [spec for spec in DETECTOR_NODE if spec.fixed]
    parts = (INTRODUCTION, _table(live), LISTS, _table(fixed), FROM_ROS, CAMERA, _table(CAMERA_NODE))
    return "".join(parts)


def _table(specs: Iterable[ParameterSpec]) -> str:
    return HEAD + "".join(_row(spec) for spec in specs)


def _row(spec: ParameterSpec) -> str:
    kind = spec.kind.name.lower().replace("_array", " list")
    default = spec.default_is or (f"`{_text(spec)}`" if _text(spec) else "")
    cells = (f"`{spec.name}`", kind, default, spec.range, spec.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _text(spec: ParameterSpec) -> str:
    """Return a default as one writes it."""
    return str(spec.default).lower() if spec.kind == Kind.BOOL else str(spec.default)


if __name__ == "__main__":
    sys.stdout.write(parameters_page())

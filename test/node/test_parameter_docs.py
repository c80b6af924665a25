"""What is written about parameters is true."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from parameter_docs import parameters_page
from rcl_interfaces.srv import DescribeParameters, ListParameters

from trt_ssd_ros.camera.parameters import CAMERA_NODE
from trt_ssd_ros.depth.parameters import LOCATOR_NODE
from trt_ssd_ros.node.parameter_table import DETECTOR_NODE
from trt_ssd_ros.web.parameters import WEB_NODE

pytestmark = pytest.mark.ros

NODES = {"detector": DETECTOR_NODE, "locator": LOCATOR_NODE, "camera": CAMERA_NODE, "web": WEB_NODE}
FROM_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.", "diagnostic_updater.")


def test_the_page_is_up_to_date(repository):
    written = (repository / "docs" / "parameters.md").read_text()
    assert written == parameters_page(), "run: python3 scripts/parameter_docs.py > docs/parameters.md"


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_the_documented_parameters_and_describes_them_so(probe, start_node, name):
    start_node(f"{name}_node", **({"port": 0} if name == "web" else {}))
    names = probe.call(ListParameters, f"{name}/list_parameters", ListParameters.Request()).result.names
    own = {entry for entry in names if not entry.startswith(FROM_ROS)}
    specs = {spec.name: spec for spec in NODES[name]}
    assert own == set(specs)
    request = DescribeParameters.Request(names=list(specs))
    for descriptor in probe.call(DescribeParameters, f"{name}/describe_parameters", request).descriptors:
        spec = specs[descriptor.name]
        assert len(descriptor.description) > 15
        assert (descriptor.description, descriptor.type) == (spec.description, spec.kind.value)
        assert (descriptor.read_only, descriptor.dynamic_typing) == (bool(spec.fixed), False)


@pytest.mark.parametrize("commented", [False, True], ids=["as it is", "with its comments as settings"])
def test_the_parameter_file_names_only_parameters(repository, commented):
    text = (repository / "config" / "detect.yaml").read_text()
    if commented:
        text = re.sub(r"^( +)# (\w+:)", r"\1\2", text, flags=re.MULTILINE)
    settings: Mapping[str, Any] = yaml.safe_load(text)
    assert {key.rpartition("/")[2] for key in settings} == set(NODES)
    for key, values in settings.items():
        defaults = {spec.name: spec.default for spec in NODES[key.rpartition("/")[2]]}
        assert set(values["ros__parameters"]) <= set(defaults)
        if not commented:  # so that a detector of another name, which this file does not know, is no different
            assert values["ros__parameters"].items() <= defaults.items()


def test_the_readme_names_only_parameters(repository):
    section = (
        (repository / "README.md").read_text().split("### Parameters of the detector node")[1].split("\n### ")[0]
    )
    rows = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert len(rows) == 7
    assert set(rows) <= {spec.name for spec in DETECTOR_NODE}

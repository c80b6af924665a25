"""The launch arguments that choose a view."""

from __future__ import annotations

import pytest
from launch_visit import processes, remappings, settings

from trt_ssd_ros.files import share_folder

pytestmark = pytest.mark.ros
DETECT = share_folder() / "launch" / "detect.launch.py"


def test_there_is_no_view_by_default():
    [detector] = processes(DETECT, {})
    assert detector.node_executable == "detector_node"


def test_the_web_node_gets_its_arguments():
    given = {"web_host": "0.0.0.0", "web_port": "81", "web_token": "1234567890123456", "web_control": "true"}  # noqa: S104
    names = {"namespace": "robot", "detector_name": "eyes", "remap": "detections:=seen preview:=small"}
    _, web = processes(DETECT, {"view": "web", **given, **names})
    expected = {"detector": "eyes", "host": "0.0.0.0", "token": "1234567890123456", "port": 81, "control": True}  # noqa: S104
    assert settings(web) == expected
    assert remappings(web) == {"detections": "seen", "preview": "small"}
    assert (web.node_executable, web.expanded_node_namespace) == ("web_node", "/robot")


def test_without_arguments_params_file_decides():
    _, web = processes(DETECT, {"view": "web"})
    assert settings(web) == {"detector": "detector"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rviz": "true", "view": "web"}, "rviz: found 'true' beside view:=web"),
        ({"web_port": "81"}, "web_port: found '81' with view:=none, expected view:=web"),
        ({"web_token": "1234567890123456"}, "web_token: found a token with view:=none"),
        ({"view": "web", "web_port": "http"}, "web_port: found 'http', expected a number from 0 to 65535"),
        ({"view": "web", "web_port": "65536"}, "web_port: found '65536'"),
    ],
)
def test_refuses_what_does_not_fit(arguments, words):
    with pytest.raises(ValueError, match=words.partition("'")[0]) as refused:
        processes(DETECT, arguments)
    assert words in str(refused.value)

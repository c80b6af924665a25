"""The SROS2 policy: it names what the nodes have, no more and no less, and with it they work encrypted."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from keystore import Keystore, read_policy
from probe import Probe, new_domain
from ros_fixtures import MODULES

from trt_ssd_ros.files import share_folder

pytestmark = pytest.mark.ros
DETECTOR, CAMERA, LOCATOR, WEB = (f"/trt_ssd_ros/{node}" for node in ("detector", "camera", "locator", "web"))
LISTENER = "/listener"
COMPRESSED, SIMULATED = "image_transport:=compressed", "use_sim_time:=true"
WANTED = "publish_tf:=true"
"""Lets the locator take its inputs without a subscriber."""
LATER = {"get_type_description"} if os.environ.get("ROS_DISTRO") == "humble" else set()
"""Services that came with a later ROS 2."""
OPTIONAL = {"/annotations", "/tf", "/tf_static"}
"""Names that are used where foxglove_msgs is installed, and once a place needs a transform or gets a frame."""
SHARED = {"/label_info", "/clock", "/diagnostics", "/parameter_events", "/rosout"}
"""Topics that all cameras of a detector share."""
EVERYTHING = {"publish": ["/*"], "subscribe": ["/*"], "reply": ["/*"], "request": []}


@pytest.fixture(scope="module")
def policy() -> dict[str, Any]:
    """What each enclave may do."""
    return read_policy(share_folder() / "config" / "sros2" / "policy.xml")


def graph_of(probe: Probe, node: str) -> dict[str, set[str]]:
    """Return the names of what a node publishes, subscribes to and serves."""
    asked = {
        "publish": probe.node.get_publisher_names_and_types_by_node,
        "subscribe": probe.node.get_subscriber_names_and_types_by_node,
        "reply": probe.node.get_service_names_and_types_by_node,
        "request": probe.node.get_client_names_and_types_by_node,
    }
    return {verb: {name for name, _ in ask(node, "/")} for verb, ask in asked.items()}


@pytest.mark.parametrize(
    ("node", "enclave", "ways"),
    [
        ("detector", DETECTOR, [("/image_raw", []), ("/image_raw/compressed", [COMPRESSED, SIMULATED])]),
        ("camera", CAMERA, [("/clock", [SIMULATED])]),
        ("locator", LOCATOR, [("/depth/image", [WANTED, SIMULATED])]),
    ],
)
def test_names_exactly_what_the_nodes_have(start_process, policy, node, enclave, ways):
    absent = OPTIONAL | {f"/{node}/{name}" for name in LATER}
    allowed = {verb: set(names) - absent for verb, names in policy[enclave].items()}
    needed: dict[str, set[str]] = {verb: set() for verb in allowed}
    command = [sys.executable, "-m", MODULES[f"{node}_node"], "--ros-args", "-r", "image:=image_raw"]
    for subscription, settings in ways:
        options = [word for setting in settings for word in ("-p", setting)]
        with new_domain() as domain, closing(Probe(domain)) as probe:  # an ended node may stay in the graph
            process = start_process([*command, *options], ROS_DOMAIN_ID=str(domain))
            probe.spin_until(lambda p=probe: node in p.node.get_node_names(), node)
            probe.spin_until(lambda p=probe, s=subscription: s in graph_of(p, node)["subscribe"], subscription)
            for verb in ("publish", "reply"):
                probe.spin_until(lambda p=probe, v=verb: graph_of(p, node)[v] >= allowed[v], f"all it may {verb}")
            for verb, names in graph_of(probe, node).items():
                needed[verb] |= names
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
    assert needed == allowed


def test_a_named_camera_has_the_topics_with_its_prefix_and_enable(probe, start_process, policy):
    command = [sys.executable, "-m", MODULES["detector_node"], "--ros-args", "-p", "cameras:=[front]"]
    start_process([*command, "-r", "front/image:=front/image_raw", "-p", SIMULATED])
    allowed = {verb: set(names) for verb, names in policy[DETECTOR].items()}
    topics = {name for verb in ("publish", "subscribe") for name in allowed[verb]} - SHARED
    named = {name: f"/front{name}" for name in topics if not name.startswith("/detector/")}
    expected = {verb: {named.get(name, name) for name in names} for verb, names in allowed.items()}
    expected["reply"].add("/detector/front/enable")
    expected["reply"] -= {f"/detector/{name}" for name in LATER}
    expected["subscribe"].remove("/front/image_raw/compressed")
    expected["publish"].remove("/front/annotations")
    probe.spin_until(lambda: "detector" in probe.node.get_node_names(), "the detector")
    for verb, names in expected.items():
        probe.spin_until(lambda v=verb, its=names: graph_of(probe, "detector")[v] >= its, f"all it may {verb}")
    found = graph_of(probe, "detector")
    assert {verb: names - {"/front/annotations"} for verb, names in found.items()} == expected


def look_at_the_page(process: Any, seen: Callable[[], None]) -> None:
    """Look at the camera on the page of a web node, and call a function once a frame came."""
    from page_client import viewer

    process.wait_until_it_says("web page: ")
    port = int(re.search(r":(\d+)/", process.log)[1])

    async def look() -> None:
        async with viewer(port) as page:
            await page.text("state", lambda text: text["cameras"])
            await page.look("")
            await page.frame()
            await asyncio.to_thread(seen)

    asyncio.run(look())


def test_names_exactly_what_the_web_node_has_while_a_viewer_looks(
    probe, start_process, start_node, policy, small_picture
):
    pytest.importorskip("aiohttp")
    start_process([sys.executable, "-m", MODULES["detector_node"], "--ros-args", "-r", "image:=image_raw"])
    start_node("camera_node", source=small_picture)
    absent = {"/clock", *(f"/web/{name}" for name in LATER)}
    allowed = {verb: set(names) - absent for verb, names in policy[WEB].items()}

    def compare() -> None:
        probe.spin_until(lambda: "web" in probe.node.get_node_names(), "the web node")
        for verb, names in allowed.items():
            probe.spin_until(lambda v=verb, its=names: graph_of(probe, "web")[v] >= its, f"all it may {verb}")
        assert graph_of(probe, "web") == allowed

    look_at_the_page(start_node("web_node", port=0), compare)


def security_is_missing() -> str:
    """Say why DDS security cannot be tested here."""
    if shutil.which("openssl") is None:
        return "needs openssl"
    try:
        prefix = Path(get_package_prefix("rmw_cyclonedds_cpp"))
    except PackageNotFoundError:
        return "needs Cyclone DDS"
    return "" if list(prefix.rglob("libdds_security_auth.so")) else "needs a Cyclone DDS with security"


@pytest.mark.skipif(bool(security_is_missing()), reason=security_is_missing())
def test_detections_flow_encrypted_and_strangers_hear_nothing(
    tmp_path, domain, start_process, policy, small_picture
):
    keystore = Keystore(tmp_path / "keystore", domain)
    for enclave, rules in (*policy.items(), (LISTENER, EVERYTHING)):
        keystore.add_enclave(enclave, rules)
    cyclone = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    secure = {**cyclone, **keystore.environment()}

    def start(arguments: list[str], enclave: str, *settings: str) -> Any:
        ros = ["--ros-args", "-r", "image:=image_raw", "--enclave", enclave, *settings]
        return start_process([sys.executable, *arguments, *ros], **secure)

    listener = str(Path(__file__).parents[1] / "support" / "listener.py")
    friend, stranger = start([listener], LISTENER), start_process([sys.executable, listener], **cyclone)
    stranger.wait_until_it_says("listening")
    detector = start(["-m", "trt_ssd_ros.node.detector_node"], DETECTOR)
    start(["-m", "trt_ssd_ros.camera.camera_node"], CAMERA, "-p", f"source:={small_picture}")
    friend.wait_until_it_says("heard detections\n" * 5)
    assert "heard detections" not in stranger.log
    detector.wait_until_it_says("the middleware does not number images")  # Cyclone DDS does not
    if find_spec("aiohttp"):
        look_at_the_page(start(["-m", "trt_ssd_ros.web.web_node"], WEB, "-p", "port:=0"), lambda: None)

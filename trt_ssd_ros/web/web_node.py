"""WebNode: a page with the pictures, the boxes and the controls of a detector, for browsers."""

from __future__ import annotations

import itertools
import re
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from pathlib import Path
from posixpath import dirname, join
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus

from trt_ssd_ros.errors import counted, one_line
from trt_ssd_ros.ros.process import FailableNode, spin_node
from trt_ssd_ros.ros.status_updater import StatusUpdater
from trt_ssd_ros.web.detector_link import DetectorLink
from trt_ssd_ros.web.parameters import WEB_NODE
from trt_ssd_ros.web.pictures import CameraPictures
from trt_ssd_ros.web.protocol import Answer, Command
from trt_ssd_ros.web.security import Access, RefusalLog, choose_token
from trt_ssd_ros.web.viewers import Demand, Frame

FOLLOW_SECONDS = 0.5
LINGER = 4
"""Periods of FOLLOW_SECONDS that the node stays subscribed to a camera, or to the detector, after its last viewer.
A page that is loaded again needs nothing new, and Fast DDS may crash if a subscription ends while its publisher is
being discovered (https://github.com/eProsima/Fast-DDS/issues/3303)."""
EVERY_NETWORK = ("", "0.0.0.0", "::")  # noqa: S104 - to name this machine in the address
FOLDER = Path(__file__).parent


class WebNode(FailableNode):
    """Node that serves the page of one detector.

    The executor's thread does all of ROS: `DetectorLink` and the `CameraPictures` of the cameras at which a viewer
    looks. `WebServer` serves in its own thread. Frames and texts go from the first to the second, commands and the
    demand of the viewers the other way; nothing else is shared. Without viewers the node subscribes to nothing.

    Raises:
        RuntimeError: aiohttp is not installed.
        ValueError: A parameter is wrong.
    """

    def __init__(self) -> None:
        super().__init__("web")
        values = {spec.name: self.declare(spec) for spec in WEB_NODE}
        self.check_overrides()
        _require_aiohttp()
        from trt_ssd_ros.web.server import Backend, WebServer, page_files  # noqa: PLC0415 - imports aiohttp

        token = choose_token(values["host"], values["token"])
        self._refusals = RefusalLog(self.get_logger().warning)
        backend = Backend(self._execute, partial(self.call_in_executor, self._follow_demand), self._refusals)
        files = page_files(FOLDER / "page", FOLDER.parent / "common.css")
        self._server = WebServer(files, Access.of(token, values["allowed_hosts"]), backend)
        name = _full_name(self.get_namespace(), values["detector"])
        self._space = dirname(name)
        self._link = DetectorLink(self, name, values["control"], self._server)
        self._pictures: dict[str, CameraPictures] = {}
        self._numbers = itertools.count(1)
        self._demand = Demand()
        self._idle = 0  # periods without viewers
        self._sent = self._unmatched = 0
        self._updater = StatusUpdater(self)
        self._updater.add("page", self._fill_status)
        self.call_once_spinning(partial(self._start, values["host"], values["port"], token))
        self.call_every(FOLLOW_SECONDS, self._follow)

    def _start(self, host: str, port: int, token: str) -> None:
        """Start the server, whose first viewer needs the executor."""
        try:
            self._announce(host, self._server.start(host, port), token)
        except (OSError, UnicodeError) as error:
            self.fail(
                f"cannot listen on {host}, port {port} ({one_line(error)}): choose another port (launch argument "
                "web_port; 0: any free one) or host (web_host); the detector runs on without the page"
            )

    def _announce(self, host: str, port: int, token: str) -> None:
        """Print the address of the page; with a token only to the terminal, because /rosout is for all to read."""
        name = socket.gethostname() if host in EVERY_NETWORK else host
        address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
        if token:
            sys.stdout.write(f"web page: {address}?token={token}\n")
            sys.stdout.flush()
        else:
            self.get_logger().info(f"web page: {address}")

    def destroy_node(self) -> None:
        """End the server, then destroy the node; see `RosProcess.end`."""
        self._server.close()
        super().destroy_node()

    def _execute(self, command: Command) -> Future[Answer]:
        answer: Future[Answer] = Future()
        self.call_in_executor(self._link.control.execute, command, answer)
        return answer

    def _follow_demand(self, demand: Demand) -> None:
        """Subscribe to what the viewers look at; `_follow` ends what they have left."""
        self._demand = demand
        if demand.viewers:
            self._idle = 0
            self._link.wake()
        self._open_pictures()

    def _open_pictures(self) -> None:
        for camera in self._demand.cameras & set(self._link.cameras):
            if camera not in self._pictures:
                self._pictures[camera] = CameraPictures(
                    self, self._space, camera, self._numbers, self._link.views, self._offer
                )
            self._pictures[camera].idle = 0

    def _offer(self, frame: Frame) -> None:
        self._sent += 1
        self._server.offer(frame)

    def _close_pictures(self, camera: str) -> None:
        pictures = self._pictures.pop(camera)
        self._unmatched += pictures.matcher.unmatched
        pictures.close()

    def _fill_status(self, status: Any) -> Any:
        """Fill the node's status in /diagnostics, and return it."""
        status.summary(DiagnosticStatus.OK, counted(self._demand.viewers, "viewer"))
        unmatched = self._unmatched + sum(its.matcher.unmatched for its in self._pictures.values())
        status.add("frames", str(self._sent))
        status.add("pictures without their detections", str(unmatched))
        for kind, count in sorted(self._refusals.counts.items()):
            status.add(f"refused: {kind}", str(count))
        return status

    def _follow(self) -> None:
        """Follow the detector, and unsubscribe from what no viewer has looked at for some time."""
        if self._demand.viewers:
            self._link.follow()
        else:
            self._idle += 1
            if self._idle > LINGER:
                self._link.sleep()
        for pictures in self._pictures.values():
            pictures.idle += 1
            pictures.follow_graph()
        self._open_pictures()
        for camera in [name for name, pictures in self._pictures.items() if pictures.idle > LINGER]:
            self._close_pictures(camera)


def _require_aiohttp() -> None:
    """Raise RuntimeError if aiohttp is missing; Ubuntu's own Python refuses `pip install`, so apt comes first."""
    try:
        import_module("aiohttp")
    except ImportError as error:
        advice = "sudo apt install python3-aiohttp, or pip install aiohttp"
        raise RuntimeError(f"the web page needs aiohttp ({error}): {advice}") from error


def _full_name(namespace: str, detector: str) -> str:
    """Return the full name of the detector.

    Raises:
        ValueError: The name is no name of a node.
    """
    name = join(namespace, detector)
    if not re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", name):
        raise ValueError(
            f"detector: found {detector!r}, expected the name of a node, e.g. detector or /robot/detector"
        )
    return name


def main(args: Sequence[str] | None = None) -> int:
    """Run the web node."""
    return spin_node(WebNode, args)


if __name__ == "__main__":
    sys.exit(main())

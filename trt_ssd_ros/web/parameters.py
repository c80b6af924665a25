"""Parameters of the web node."""

from __future__ import annotations

from trt_ssd_ros.ros.parameters import Kind, ParameterSpec
from trt_ssd_ros.web.security import LEAST_TOKEN

_START = "the node reads it at the start"

DETECTOR = ParameterSpec(
    "detector",
    Kind.STRING,
    "detector",
    "Name of the detector node, in the namespace of the web node or in full, e.g. /robot/detector",
    fixed=_START,
)
HOST = ParameterSpec(
    "host",
    Kind.STRING,
    "127.0.0.1",
    "Address to listen on; 127.0.0.1: this machine only; 0.0.0.0: every network, with a token",
    fixed=_START,
)
PORT = ParameterSpec(
    "port", Kind.INTEGER, 8080, "Port to listen on; 0: any free one", lowest=0, highest=65535, fixed=_START
)
TOKEN = ParameterSpec(
    "token",
    Kind.STRING,
    "",
    f"Token that viewers need, at least {LEAST_TOKEN} characters; empty: none on this "
    "machine alone, else the node makes one and prints it",
    fixed=_START,
)
CONTROL = ParameterSpec(
    "control", Kind.BOOL, False, "Let viewers set the detector's parameters and enable its cameras", fixed=_START
)
ALLOWED_HOSTS = ParameterSpec(
    "allowed_hosts",
    Kind.STRING_ARRAY,
    [],
    "Names of this machine in the address of the page, as behind a reverse proxy; addresses and its hostname are "
    "always allowed",
    fixed=_START,
)

WEB_NODE = (DETECTOR, HOST, PORT, TOKEN, CONTROL, ALLOWED_HOSTS)

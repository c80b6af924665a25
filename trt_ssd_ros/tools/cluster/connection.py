"""Connection to a Ray cluster: one of this machine, or a running one. Ray is imported only here, on use."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any

from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.tools.cluster.work_queue import TIMEOUT_SECONDS
from trt_ssd_ros.tools.command_line import count, given

LOCAL, AUTO = "local", "auto"
CONNECT_SECONDS = 5.0
CONNECT_TRIES = "2"
"""Number of Ray's own tries to reach a cluster, 40 s each. Its default of 20 hangs if the head has just ended."""
ADVICE = "start a cluster with `ray start --head` and join it with `ray start --address=HOST:PORT`"
STORE_BYTES = 100 * 1024**2
"""Size of the object store of a local cluster: results are small. Ray's default is 30 % of the memory."""
LOCAL_SETTINGS = {
    "RAY_AUTH_MODE": "token",  # any local user could run code through the ports of the cluster otherwise
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the only switch that binds the ports to 127.0.0.1
}


def add_ray_options(parser: argparse.ArgumentParser, images: int) -> None:
    """Add `--ray` and its settings to a command line, with the default number of images of `--ray-slice`."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: local (a new one of this machine), auto (the running one), or HOST:PORT",
    )
    parser.add_argument(
        "--ray-slice",
        type=count,
        default=images,
        metavar="N",
        help=f"images that a worker takes at a time; default: {images}",
    )
    parser.add_argument(
        "--ray-timeout",
        type=_seconds,
        default=TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="time without an image or an opened engine after which a worker is killed and its images given to "
        f"another one; default: {TIMEOUT_SECONDS:g}",
    )


def expect_ray(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command if its line has settings of `--ray` without it."""
    wrong = given(parser, options, ("ray_slice", "ray_timeout"))
    if options.ray is None and wrong:
        parser.error(f"{wrong[0]}: found no --ray, expected it")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of seconds above 0")
    return seconds


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Connect to a cluster, and yield the module `ray`. Meanwhile, `sys.stdout` is stderr.

    Args:
        address: `local` starts a cluster of this machine, which ends with the connection; `auto` takes the cluster
            that this machine is a node of; else host and port of a cluster, of which this machine is a node.

    Raises:
        RuntimeError: Ray is not installed, or the cluster cannot be reached.
    """
    if address not in (LOCAL, AUTO):
        _expect_reachable(address)
    if address != LOCAL:
        os.environ.setdefault("RAY_gcs_server_port_wait_time_s", CONNECT_TRIES)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with ExitStack() as opened:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if address == LOCAL:
            options |= opened.enter_context(_local_options())
        ray = load_library("ray", "ray", "--ray")
        opened.enter_context(redirect_stdout(sys.stderr))  # Ray prints lost workers to stdout, a pipe of results
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            ray.init(address, **options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise RuntimeError(f"--ray {address}: no cluster: {one_line(error)}: {ADVICE}") from error
        finally:
            for number, handler in before.items():  # Ray replaces the handler of SIGTERM
                signal.signal(number, handler)
        opened.callback(ray.shutdown)
        try:
            yield ray
        except (ray.exceptions.RaySystemError, ray.exceptions.RpcError) as error:
            raise RuntimeError(f"--ray {address}: lost the cluster: {one_line(error)}") from error


def _expect_reachable(address: str) -> None:
    """Require that a process listens at an address: Ray itself tries for many minutes.

    Raises:
        RuntimeError: The address is none, or no process listens there.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise RuntimeError(
            f"--ray: found {address or 'nothing'}, expected local, auto or HOST:PORT, on a node of the cluster"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RuntimeError(f"--ray {address}: no cluster: {one_line(error)}: {ADVICE}") from error


@contextmanager
def _local_options() -> Iterator[dict[str, Any]]:
    """Yield the options of a cluster of this machine, which leaves no file behind.

    The folder's path is short, because it is the start of the names of sockets, which are limited to 107 bytes.
    """
    os.environ.update(LOCAL_SETTINGS)
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    short = os.environ.get("RAY_TMPDIR", "/tmp")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(prefix="ray", dir=short, ignore_cleanup_errors=True) as folder:
        yield {
            "num_cpus": len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
            "_temp_dir": folder,
        }

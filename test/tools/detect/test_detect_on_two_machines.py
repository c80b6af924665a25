"""`detect --ray` with a cluster of two machines: network namespaces with temporary files of their own."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager

from fleet import fleet_environment
from network import needs_two_machines
from reaper import reaper

from trt_ssd_ros.bench.two_machines import run, two_machines

pytestmark = needs_two_machines
RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
DETECT = [sys.executable, "-m", "trt_ssd_ros.tools.detect", "--no-draw", "--cpu-threads", "1"]
MEMORY = 100_000_000
"""Bytes of the object store: the default takes a third of the machine's memory."""


@contextmanager
def ray_node(machine, folder, environment, *options):
    """Run Ray on a machine."""
    run(machine.command(["mount", "-t", "tmpfs", "none", folder]))
    own = [f"--node-ip-address={machine.address}", f"--object-store-memory={MEMORY}", "--disable-usage-stats"]
    command = machine.command([*RAY, *options, *own, "--block"])
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        reaper().watch(process.pid)
        try:
            said = ""
            while "Ray runtime started" not in said:
                line = process.stdout.readline()
                assert line, f"Ray does not start: {said}"
                said += line
            yield
        finally:  # else a failure would wait for Ray's end
            process.terminate()
            process.communicate(timeout=60)
            reaper().forget(process.pid)


def results(folder):
    """The files of a run."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_worker_of_another_machine_gives_the_same_files(repository, tmp_path):
    environment = fleet_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"  # clusters of other tests in this process switch it off
    photos = str(repository / "photos")
    here, there = tmp_path / "here", tmp_path / "there"
    subprocess.run([*DETECT, photos, "--output", str(here)], check=True, capture_output=True)
    with ExitStack() as stack:
        robot, base = stack.enter_context(two_machines())
        # Short, because names of sockets have at most 107 bytes.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", dir="/tmp"))
        environment["RAY_TMPDIR"] = folder
        head = ("--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false")
        stack.enter_context(ray_node(robot, folder, environment, *head))
        address = f"{robot.address}:6379"
        stack.enter_context(ray_node(base, folder, environment, f"--address={address}", "--num-cpus=1"))
        command = robot.command([*DETECT, photos, "--output", str(there), "--ray", address])
        detected = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=120
        )
        assert detected.returncode == 0, detected.stderr
        assert "worker 1 is ready" in detected.stderr
    assert results(there) == results(here)

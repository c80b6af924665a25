"""Check whether detection runs well on this machine: each check is OK, WARN or FAIL, with its impact and fix.

ros2 run trt_ssd_ros doctor
python3 -m trt_ssd_ros.tools.doctor --json

The doctor changes nothing. The exit code is 1 if a check is FAIL, else 0.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from trt_ssd_ros.tools.doctor.checks import engine_findings, ros_findings, software_findings, transport_findings
from trt_ssd_ros.tools.doctor.jetson import jetson_findings
from trt_ssd_ros.tools.doctor.machine import Finding, Machine
from trt_ssd_ros.tools.doctor.network import network_findings
from trt_ssd_ros.version import add_version

CHECKS = (software_findings, ros_findings, engine_findings, jetson_findings, transport_findings, network_findings)


def run_checks(machine: Machine) -> Iterator[Finding]:
    """Run all checks, one by one."""
    for check in CHECKS:
        yield from check(machine)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")
    options = parser.parse_args(args)
    for number in (signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        return report(run_checks(Machine()), options.json)
    except OSError as error:  # stdout is not writable
        print(f"doctor: {error}", file=sys.stderr)
        return 1


def report(results: Iterable[Finding], as_json: bool) -> int:
    """Print each finding as it comes, and return the exit code."""
    findings = []
    for finding in results:
        findings.append(finding)
        if not as_json:
            print(finding, flush=True)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2), flush=True)
    else:
        counts = Counter(finding.level for finding in findings)
        print(f"\n{counts['OK']} OK, {counts['WARN']} WARN, {counts['FAIL']} FAIL", flush=True)
    return int(any(finding.level == "FAIL" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())

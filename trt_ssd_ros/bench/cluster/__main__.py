"""Measure and shake `detect --ray` on a cluster of processes on this machine. Needs ray and psutil.

python3 -m trt_ssd_ros.bench.cluster speed
python3 -m trt_ssd_ros.bench.cluster kills --rounds 20
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trt_ssd_ros.bench.cluster.kills import rounds
from trt_ssd_ros.bench.cluster.speed import measure
from trt_ssd_ros.tools.command_line import count
from trt_ssd_ros.version import add_version


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="cluster_benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument("what", choices=("speed", "kills"))
    parser.add_argument("--rounds", type=count, default=20, metavar="N", help="rounds of kills; default: 20")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the kills; default: 0")
    parser.add_argument(
        "--together", action="store_true", help="kill a worker, a node and the driver in each round"
    )
    options = parser.parse_args(args)
    killed = rounds(options.rounds, options.seed, options.together)
    for line in measure() if options.what == "speed" else killed:
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

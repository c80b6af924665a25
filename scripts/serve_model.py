#!/usr/bin/env python3
"""Serve a model that `build_engine --triton DIR` wrote, on machines without docker: Triton by pip, on the CPU.

pip install nvidia-pytriton onnxruntime 'numpy<2'    in a virtual environment of its own, Python 3.10 to 3.12
python scripts/serve_model.py DIR ssdlite_mobilenet_v2_coco --address 0.0.0.0 --port 8000

This file needs no other file of the package. Triton reads requests by HTTP and joins them in batches, and ONNX
Runtime runs them. There is neither TLS nor a check of tokens: use a proxy (docs/fleet.md).
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the package does

try:
    import numpy as np
    import onnxruntime
    from pytriton.decorators import batch
    from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig, TritonSecurityConfig
except ImportError as error:
    sys.exit(f"serve_model: {error}: pip install nvidia-pytriton onnxruntime 'numpy<2', with Python 3.10 to 3.12")

DTYPES = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(float)": np.float32}
QUEUE_DELAY = 500
"""Longest wait in microseconds for the requests of other robots, as in the configuration of build_engine."""
UNIMPORTANT = re.compile(
    r"[IW]\d{4} |[|+]|Signal |\s*$|E.*CudaDriverHelper has not|E.*set config modification time"
)
"""Lines of Triton that no user needs: infos, warnings, tables, and two errors that come without a fault."""


class Errors(io.TextIOBase):
    """Stands in for stdout, to which pytriton prints the lines of Triton, and passes the errors on to stderr."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str) -> int:
        """Take a text, which may begin and end within a line."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if not UNIMPORTANT.match(line):
                print(line, file=sys.stderr, flush=True)
        return len(text)


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Open the model's graph on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runner(session: onnxruntime.InferenceSession) -> Callable[..., dict[str, Any]]:
    """Return the function that runs a batch: named tensors in, named tensors out."""
    names = [item.name for item in session.get_outputs()]

    @batch
    def infer(**inputs: Any) -> dict[str, Any]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return infer


def idler(session: onnxruntime.InferenceSession) -> Callable[..., dict[str, Any]]:
    """Return a function that gives each image the outputs of one blank image, to measure the transport."""
    blank = {item.name: np.zeros([1, *item.shape[1:]], DTYPES[item.type]) for item in session.get_inputs()}
    names = [item.name for item in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, blank), strict=True))

    @batch
    def infer(**inputs: Any) -> dict[str, Any]:
        images = len(inputs["image"])
        return {name: np.repeat(array, images, axis=0) for name, array in outputs.items()}

    return infer


def batch_of(session: onnxruntime.InferenceSession, most: int) -> int:
    """Return the most images at once: `most`, or those of a graph whose batch is fixed."""
    batch = session.get_inputs()[0].shape[0]
    return batch if isinstance(batch, int) else most


def serve(options: argparse.Namespace, session: onnxruntime.InferenceSession) -> None:
    """Serve the model until Triton ends."""
    inputs, outputs = (
        [Tensor(name=item.name, dtype=DTYPES[item.type], shape=tuple(item.shape[1:])) for item in items]
        for items in (session.get_inputs(), session.get_outputs())
    )
    config = TritonConfig(
        http_address=options.address, http_port=options.port, allow_grpc=False, allow_metrics=False
    )
    security = TritonSecurityConfig(restricted_endpoints=[])
    batcher, most = DynamicBatcher(max_queue_delay_microseconds=QUEUE_DELAY), batch_of(session, options.batch)
    address, terminal = f"http://{options.address}:{options.port}", sys.stdout
    with (
        redirect_stdout(Errors()),
        TemporaryDirectory(prefix="serve_model") as folder,
        Triton(config=config, security_config=security, workspace=Path(folder, "triton")) as triton,
    ):
        triton.bind(
            model_name=options.model,
            infer_func=idler(session) if options.idle else runner(session),
            inputs=inputs,
            outputs=outputs,
            config=ModelConfig(max_batch_size=most, batcher=batcher),
            strict=False,
        )
        triton.run()
        ready = f"{options.model} is ready at {address}, up to {most} images at once; Ctrl-C ends it"
        print(f"serve_model: {ready}", file=terminal, flush=True)
        triton.serve()


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="serve_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", type=Path, metavar="DIR", help="folder that build_engine --triton wrote")
    parser.add_argument("model", metavar="MODEL", help="name of a model in it")
    parser.add_argument("--address", default="127.0.0.1", help="network address; default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="HTTP port; default: 8000")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="most images at once; default: 8")
    parser.add_argument("--cpu-threads", type=int, default=0, metavar="N", help="CPU threads; default: all cores")
    parser.add_argument("--idle", action="store_true", help="do not run the graph, to measure the transport")
    return parser


def main() -> int:
    """Run the command."""
    options = new_parser().parse_args()
    path = options.repository / options.model / "1" / "model.onnx"
    if not path.is_file():
        print(f"serve_model: {path} is missing: write it with build_engine --triton", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))  # leaves the `with` of `serve`, which ends Triton's process
    serve(options, open_session(path, options.cpu_threads))
    print("serve_model: Triton has ended; its errors are above", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""A small KServe v2 server: the served graph of a card on ONNX Runtime, over real sockets.

python kserve_server.py CARD FOLDER [CERTIFICATE KEY]

It prints its address. FOLDER/behaviour says how it misbehaves, FOLDER/token which token it expects, FOLDER/port
which port the next start takes.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.served_graph import compose_served

DTYPES = {"UINT8": np.uint8, "INT32": np.int32, "FP32": np.float32}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
LENGTH = "Inference-Header-Content-Length"
LATE = 4.0
"""Seconds that a slow answer takes."""


LIES: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "other id": lambda header, _: header.update(id="0-0"),
    "other graph": lambda _, tensors: tensors.update(graph_sha256=tensors["graph_sha256"] + 1),
    "other classes": lambda _, tensors: tensors.update(class_ids=tensors["class_ids"] + 1000),
    "not a number": lambda _, tensors: tensors.update(scores=tensors["scores"] + np.float32("nan")),
    "lost tensor": lambda _, tensors: tensors.pop("keep"),
}
"""Changes of an answer's header and tensors, by behaviour."""
BODIES = {
    "page": b"<html>hello</html>",
    "deep": b"[" * 20_000,
    "number": b"7",
    "empty": b"",
    "huge": bytes(1 << 24),
}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    before = ""
    server: Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with the model's metadata."""
        if self._is_refused():
            return
        engine = self.server.engine
        outputs = engine.run(
            {
                name: np.zeros([1 if isinstance(d, str) else d for d in spec.shape], spec.dtype)
                for name, spec in engine.inputs.items()
            }
        )
        inputs = {name: (NAMES[spec.dtype], spec.shape) for name, spec in engine.inputs.items()}
        listed = {name: (NAMES[array.dtype], ["N", *array.shape[1:]]) for name, array in outputs.items()}
        if self.server.behaviour == "other model":
            inputs["class_thresholds"] = ("FP32", ("N", 20))
        text = json.dumps({"name": self.path, "inputs": _listed(inputs), "outputs": _listed(listed)})
        self._answer(200, text.encode())

    def do_POST(self) -> None:
        """Run the graph."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_refused():
            return
        length, behaviour = int(self.headers[LENGTH]), self.server.behaviour
        request, tensors, start = json.loads(body[:length]), {}, length
        for item in request["inputs"]:
            end = start + item["parameters"]["binary_data_size"]
            tensors[item["name"]] = np.frombuffer(body[start:end], DTYPES[item["datatype"]]).reshape(item["shape"])
            start = end
        if behaviour == "probes only" and tensors["image"].any():
            self._answer(503, b'{"error": "queue full"}')
            return
        if behaviour == "single images" and len(tensors["image"]) > 1:
            self._answer(400, b'{"error": "batch-size must be <= 1"}')
            return
        with self.server.lock:
            outputs = dict(self.server.engine.run(tensors))
        header = {"id": request["id"], "model_name": "model"}
        if behaviour == "behind":  # each request of a connection gets the answer to the one before it
            header["id"], self.before = self.before or header["id"], header["id"]
        if behaviour in LIES:
            LIES[behaviour](header, outputs)
        if behaviour == "slow":
            time.sleep(LATE)
        header["outputs"] = [
            {
                "name": name,
                "shape": array.shape,
                "datatype": NAMES[array.dtype],
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in outputs.items()
        ]
        text = json.dumps(header).encode()
        binary = b"".join(array.tobytes() for array in outputs.values())
        if behaviour == "short":
            binary = binary[:-4]
        if behaviour in BODIES:
            text, binary = BODIES[behaviour], b""
        self._answer(200, text, binary, drip=behaviour == "dripping")
        if behaviour == "closing":
            self.close_connection = True

    def _is_refused(self) -> bool:
        token, behaviour = self.server.word("token"), self.server.behaviour
        if token and self.headers["Authorization"] != f"Bearer {token}":
            self._answer(401, b"no")
            return True
        if behaviour == "overloaded":
            self._answer(503, b'{"error": "queue full"}')
            return True
        return False

    def _answer(self, status: int, text: bytes, binary: bytes = b"", drip: bool = False) -> None:
        self.send_response(status)
        self.send_header(LENGTH, str(len(text)))
        self.send_header("Content-Length", str(len(text) + len(binary)))
        self.end_headers()
        content = text + binary
        if drip:  # a byte now and then, so that no single read waits for long
            for position in range(20):
                self.wfile.write(content[position : position + 1])
                self.wfile.flush()
                time.sleep(LATE / 20)
            content = content[20:]
        self.wfile.write(content)


def _listed(tensors: dict[str, tuple[str, Any]]) -> list[dict[str, Any]]:
    """Return tensors as metadata lists them, where -1 is any size."""
    return [
        {"name": name, "datatype": datatype, "shape": [-1 if isinstance(d, str) else d for d in shape]}
        for name, (datatype, shape) in tensors.items()
    ]


class Server(ThreadingHTTPServer):
    """Server with one model."""

    daemon_threads = True

    def __init__(self, card: ModelCard, folder: Path, files: list[str]) -> None:
        self._folder = folder
        self.lock = Lock()
        self.engine = OnnxRuntimeEngine(compose_served(load_network(card), card), 1)
        address = self.word("address") or "127.0.0.1"
        super().__init__((address, int(self.word("port") or 0)), Handler)
        if files:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*files)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        (folder / "port").write_text(str(self.server_port))
        print(f"serving at {'https' if files else 'http'}://{address}:{self.server_port}", flush=True)

    def word(self, name: str) -> str:
        """Return the content of a file in the folder; empty: none."""
        path = self._folder / name
        return path.read_text() if path.exists() else ""

    @property
    def behaviour(self) -> str:
        """How the server misbehaves now."""
        return self.word("behaviour")

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that have left."""


if __name__ == "__main__":
    Server(ModelCard.load(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3:]).serve_forever(0.05)

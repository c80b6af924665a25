"""Build a plan from a composed graph: ONNX in, serialised engine out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from trt_ssd_ros.engines.tensorrt_library import TensorRt


@dataclass(frozen=True)
class ImageShapes:
    """The images a plan takes, as (N, H, W): smallest, the one it is tuned for, and largest."""

    smallest: tuple[int, int, int] = (1, 1, 1)
    typical: tuple[int, int, int] = (1, 720, 1280)
    largest: tuple[int, int, int] = (8, 2160, 3840)


def build_plan(
    model: onnx.ModelProto,
    library: TensorRt,
    shapes: ImageShapes,
    workspace_mib: int = 1024,
) -> bytes:
    """Build a plan.

    Args:
        model: A composed graph.
        library: TensorRT as it is installed here.
        shapes: Images the plan takes.
        workspace_mib: Most scratch memory a layer may use.

    Raises:
        RuntimeError: TensorRT cannot parse or build the graph; has its words.
    """
    trt = library.module
    builder = trt.Builder(library.logger)
    network = builder.create_network(network_flags(trt))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(model.SerializeToString()):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise library.failure(f"cannot parse the graph: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib << 20)
    config.add_optimization_profile(_profile(builder, shapes))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise library.failure("cannot build the plan")
    return bytes(plan)


def network_flags(trt: Any) -> int:
    """Return the flags for an explicit batch dimension and the ONNX's own types, where they must be asked for."""
    flags = trt.NetworkDefinitionCreationFlag
    wanted = (getattr(flags, name, None) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED"))
    return sum(1 << int(flag) for flag in wanted if flag is not None)


def _profile(builder: Any, shapes: ImageShapes) -> Any:
    profile = builder.create_optimization_profile()
    profile.set_shape("image", *((*shape, 3) for shape in (shapes.smallest, shapes.typical, shapes.largest)))
    return profile

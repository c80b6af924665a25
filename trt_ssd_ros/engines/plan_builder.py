"""Plan builder: composed ONNX graph in, serialised engine out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import onnx
from onnx import TensorProto

from trt_ssd_ros.engines.build_progress import BuildCancelledError, BuildProgress, progress_monitor
from trt_ssd_ros.engines.tensorrt_library import TensorRt
from trt_ssd_ros.models.network import is_quantized

IMAGE = "image"


@dataclass(frozen=True)
class BuildOptions:
    """Build options of a plan.

    Attributes:
        batch: Largest batch in images; the plan is tuned for it.
        max_image_side: Largest image height and width in pixels.
        typical_image: Image height and width in pixels that the plan is tuned for.
        workspace_mib: Limit of scratch memory per layer in MiB.
        optimization_level: TensorRT's optimization level, 0 (fast build) to 5 (thorough); None: its default.
        dla_core: Core of the deep learning accelerator (Jetson) that runs the network's layers; None: the GPU.
        compute_capability: Compute capability to build for without a GPU, as "8.6" (TensorRT for RTX only).
    """

    batch: int = 1
    max_image_side: int = 4096
    typical_image: tuple[int, int] = (720, 1280)
    workspace_mib: int = 1024
    optimization_level: int | None = None
    dla_core: int | None = None
    compute_capability: str | None = None

    def for_images(self, height: int, width: int) -> BuildOptions:
        """Return these options for images of one size in pixels, for which a plan needs less memory."""
        return replace(self, max_image_side=max(height, width), typical_image=(height, width))

    def image_shapes(self) -> list[tuple[int, int, int, int]]:
        """Return the smallest, typical and largest shape of the input `image`, [N, H, W, 3]."""
        side = self.max_image_side
        height, width = (min(size, side) for size in self.typical_image)
        return [(1, 1, 1, 3), (self.batch, height, width, 3), (self.batch, side, side, 3)]


def build_plan(
    model: onnx.ModelProto, library: TensorRt, options: BuildOptions, progress: BuildProgress | None = None
) -> bytes:
    """Build a plan.

    Args:
        model: Composed graph, or any graph with fixed shapes.
        library: Installed TensorRT.
        options: Build options.
        progress: Receiver of the build progress, which may cancel the build.

    Raises:
        BuildCancelledError: `progress` cancelled the build.
        RuntimeError: TensorRT cannot parse or build the graph, or the DLA is missing; has TensorRT's errors.
    """
    trt = library.module
    library.clear_errors()
    builder = trt.Builder(library.logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(model.SerializeToString()):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise library.failure(f"cannot parse the graph{_hint(model)}: {errors}")
    config = _configure(builder, trt, options)
    if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        _allow_types(config, trt, model)
    if any(tensor.name == IMAGE for tensor in model.graph.input):
        profile = builder.create_optimization_profile()
        profile.set_shape(IMAGE, *options.image_shapes())
        config.add_optimization_profile(profile)
    if progress and hasattr(config, "progress_monitor"):
        monitor = progress_monitor(trt, progress)
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if progress and progress.cancelled():
        library.clear_errors()
        raise BuildCancelledError
    if plan is None:
        raise library.failure(f"cannot build the plan{_hint(model)}")
    return bytes(plan)


def _hint(model: onnx.ModelProto) -> str:
    return " of a quantized network (backend onnxruntime runs it)" if is_quantized(model) else ""


def is_half(model: onnx.ModelProto) -> bool:
    """Return whether a graph has float16 weights."""
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer)


def _allow_types(config: Any, trt: Any, model: onnx.ModelProto) -> None:
    """Allow the ONNX's types, where TensorRT chooses the types itself."""
    if is_half(model):
        config.set_flag(trt.BuilderFlag.FP16)
    if is_quantized(model):
        config.set_flag(trt.BuilderFlag.INT8)


def _configure(builder: Any, trt: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.clear_flag(trt.BuilderFlag.TF32)  # rounds fp32; for TensorRT for RTX see NO_TF32
    if options.optimization_level is not None and hasattr(config, "builder_optimization_level"):
        config.builder_optimization_level = options.optimization_level
    if options.compute_capability:
        name = f"SM{options.compute_capability.replace('.', '')}"
        if not hasattr(config, "set_compute_capability") or not hasattr(trt.ComputeCapability, name):
            found = f"compute capability {options.compute_capability}"
            raise RuntimeError(f"{found}: {trt.__name__} {trt.__version__} cannot build for it without that GPU")
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, name), 0)
    if options.dla_core is not None:
        _use_dla(builder, config, trt, options.dla_core)
    return config


def _use_dla(builder: Any, config: Any, trt: Any, core: int) -> None:
    """Run supported layers on the DLA and the others on the GPU."""
    if core >= builder.num_DLA_cores:
        found = builder.num_DLA_cores
        raise RuntimeError(
            f"DLA core {core}: found {found} DLA cores on this machine: leave it unset to use the GPU"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _network_flags(trt: Any) -> int:
    """Return the flags for an explicit batch dimension and the ONNX's types, if this TensorRT needs them."""
    flags = trt.NetworkDefinitionCreationFlag
    wanted = (getattr(flags, name, None) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED"))
    return sum(1 << int(flag) for flag in wanted if flag is not None)

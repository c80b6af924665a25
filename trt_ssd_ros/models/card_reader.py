"""Former place of `tensors_of`, until tools/import_model takes it from models/network.py."""

from trt_ssd_ros.models.network import tensors_of

__all__ = ["tensors_of"]

"""An error that no CUDA context survives: a kernel that writes to address 0."""

from __future__ import annotations

import pycuda.driver as cuda

PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry fault() {
    .reg .b64 %a;
    .reg .b32 %v;
    mov.u64 %a, 0;
    mov.u32 %v, 1;
    st.global.u32 [%a], %v;
    ret;
}
\0"""


def break_gpu() -> None:
    """Break the context that is bound to this thread; its next user gets the error."""
    cuda.module_from_buffer(PTX).get_function("fault")(block=(1, 1, 1), grid=(1, 1))

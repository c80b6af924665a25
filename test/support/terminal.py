"""A terminal of 100 columns for a process to write to."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios


class Terminal:
    """`theirs` is the end for the process; it is closed here as soon as something is awaited."""

    def __init__(self):
        self._ours, self.theirs = os.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self._said, self._open = "", True

    def wait_for(self, text):
        while text not in self._said:
            assert self._read(), f"the process ended: {self._said}"

    def rest(self):
        """Everything until the process ends."""
        while self._read():
            pass
        os.close(self._ours)
        return self._said

    def _read(self):
        if self._open:
            os.close(self.theirs)
            self._open = False
        part = b""
        with contextlib.suppress(OSError):  # raised when the other end is closed
            part = os.read(self._ours, 1 << 16)
        self._said += part.decode()
        return part

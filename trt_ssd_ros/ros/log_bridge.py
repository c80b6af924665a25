"""LogBridge: what the engines log in Python goes to the node's log, /rosout included."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger

PACKAGE_LOGGER = logging.getLogger("trt_ssd_ros")


class LogBridge(logging.Handler):
    """A handler of Python's logging that writes to a ROS logger.

    Args:
        logger: A node's logger.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; rclpy wants a line of its own for every severity."""
        text = record.getMessage().encode(errors="backslashreplace").decode()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def open(self) -> None:
        """Begin."""
        PACKAGE_LOGGER.setLevel(logging.INFO)
        PACKAGE_LOGGER.addHandler(self)

    def close(self) -> None:
        """End; further calls do nothing."""
        PACKAGE_LOGGER.removeHandler(self)
        super().close()

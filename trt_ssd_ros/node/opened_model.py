"""OpenedModel: a model card and the detector that runs it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine_sizes import EngineSizes
from trt_ssd_ros.engines.backend import KEPT_SIZES, EngineChoice
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.errors import counted
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path, sample_photos

OpenEngine = Callable[..., Detector]
MAX_BATCH = 64
"""Largest batch in views; more views run in several batches. On a CPU, each view takes 25 MB."""


class OpenedModel:
    """Model that can be opened, reopened and closed; all methods run in the inference thread.

    Args:
        model: Name of a shipped model card, or path of a model card.
        choice: Backend, precision, build options and CPU threads.
        open_engine: Function that opens the detector of a card; see `open_detector`.
        cancelled: Function that returns whether to cancel the opening.

    Attributes:
        card: Model card, as read at the last opening.
        detector: Detector that runs the model; None while it is closed.
        gpu_memory: GPU memory in MiB in use by all processes at the last measurement; None without a GPU.
        batch: Most views that are taken at once: all of the cameras, or 1 if they neither run in one batch nor
            overlap. Then a result would only wait for those of other cameras.
        cpu_threads: Largest number of CPU threads; 0: no limit.

    Raises:
        OSError: The card does not exist.
        ValueError: The card is wrong.
    """

    def __init__(
        self, model: str, choice: EngineChoice, open_engine: OpenEngine, cancelled: Callable[[], bool]
    ) -> None:
        self.card = ModelCard.load(model_card_path(model))
        self.detector: Detector | None = None
        self.gpu_memory: float | None = None
        self.cpu_threads = choice.cpu_threads
        self.batch = 1
        self._model = model
        self._choice = choice
        self._open_engine = open_engine
        self._progress = LoggedProgress(cancelled)
        self._opening = False

    @property
    def doing(self) -> str:
        """Current step of opening the model, and its progress; empty while the model is not being opened."""
        return self._progress.doing if self._opening else ""

    @property
    def described(self) -> str:
        """Name of the model, its engine, precision, resize and limit of CPU threads, for the log."""
        detector = self.detector
        if detector is None:  # a shutdown of ROS closes it while another thread opens cameras
            return f"{self.card.name}, closed"
        limit = f", {counted(self.cpu_threads, 'CPU thread')}" if self.cpu_threads else ""
        resize = f"resize on the {detector.resize_on}"
        precision = detector.precision
        numbers = "precision unknown" if precision == "unknown" else precision
        return f"{self.card.name} on {detector.engine_name}, {numbers}, {resize}{limit}"

    def open(self, cameras: int = 1, views: int = 1) -> Detector:
        """Read the card and open its detector; until this succeeds, an open detector stays in use.

        Args:
            cameras: Number of cameras.
            views: Number of views of all cameras; up to MAX_BATCH run in one batch if the host resizes. It does if
                a camera has several views.

        Raises:
            OSError: The card does not exist.
            ValueError: The card or its ONNX file is wrong, or the labels have changed.
            RuntimeError: The backend is not installed, the plan cannot be built, or the opening was cancelled.
        """
        card = ModelCard.load(model_card_path(self._model))
        if (card.labels, card.first_class_id) != (self.card.labels, self.card.first_class_id):
            raise ValueError(
                f"labels or class ids of {card.name} have changed since the node started: restart the node"
            )
        largest = min(views, MAX_BATCH)
        choice = self._choice.for_views(largest) if views > cameras else self._choice.for_cameras(largest)
        self._opening = True
        try:
            with self._progress:
                detector = self._open_engine(card, choice, sample_photos(), self._progress)
                with ExitStack() as opened:
                    opened.callback(detector.close)
                    if detector.engine_kind in KEPT_SIZES:
                        detector.engine_sizes = EngineSizes(KEPT_SIZES[detector.engine_kind])
                    if views > 1 and detector.resize_on == "host":
                        detector.prepare_batches(largest)
                    opened.pop_all()
        finally:
            self._opening = False
        self.close()
        self.card, self.detector = card, detector
        together = detector.batch_sizes
        if detector.resize_on == "engine":
            together = (largest if detector.in_flight > 1 else 1,)
        self.batch = max(together, default=largest)
        return detector

    def measure_memory(self) -> None:
        """Measure the GPU memory in use.

        Raises:
            RuntimeError: The GPU failed.
        """
        used = None if self.detector is None else self.detector.memory_used()
        self.gpu_memory = None if used is None else used / 2**20

    def close(self) -> None:
        """Close the detector and release its resources; further calls do nothing."""
        detector, self.detector = self.detector, None
        if detector is not None:
            detector.close()

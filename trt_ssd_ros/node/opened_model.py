"""OpenedModel: a model card and the detector that runs it."""

from __future__ import annotations

from collections.abc import Callable

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path, sample_photos

OpenEngine = Callable[..., Detector]


class OpenedModel:
    """Opens a model, opens it again, and closes it. All but the constructor belongs to the inference thread.

    Args:
        model: Name of a shipped model card, or the path of one.
        choice: What runs it, and how.
        open_engine: Opens the detector of a card; as `open_detector`.
        cancelled: Tells whether to stop opening.

    Attributes:
        card: The card, as it was when it was last opened.
        detector: Runs it; None while it is closed.
        gpu_memory: MiB in use on its GPU, by everybody, when it was last measured; None without a GPU.

    Raises:
        OSError: There is no such card.
        ValueError: The card is wrong.
    """

    def __init__(
        self, model: str, choice: EngineChoice, open_engine: OpenEngine, cancelled: Callable[[], bool]
    ) -> None:
        self.card = ModelCard.load(model_card_path(model))
        self.detector: Detector | None = None
        self.gpu_memory: float | None = None
        self._model = model
        self._choice = choice
        self._open_engine = open_engine
        self._progress = LoggedProgress(cancelled)
        self._opening = False

    @property
    def doing(self) -> str:
        """What is being done to open it, and how far that is; empty once it is done."""
        return self._progress.doing if self._opening else ""

    def open(self) -> Detector:
        """Read the card and open its detector; one that was open goes on until then, and if this fails.

        Raises:
            OSError: There is no such card.
            ValueError: The card or its ONNX file is wrong, or it has other labels than before.
            RuntimeError: The backend is not installed, or its plan cannot be built, or it was cancelled.
        """
        card = ModelCard.load(model_card_path(self._model))
        if card.labels != self.card.labels:
            found, expected = len(card.labels), len(self.card.labels)
            raise ValueError(
                f"{card.name}: found other labels ({found}) than the {expected} it had when the node started: "
                "restart the node"
            )
        self._opening = True
        try:
            with self._progress:
                detector = self._open_engine(card, self._choice, sample_photos(), self._progress)
        finally:
            self._opening = False
        self.close()
        self.card, self.detector = card, detector
        return detector

    def measure_memory(self) -> None:
        """Measure how much of the GPU's memory is in use.

        Raises:
            RuntimeError: The GPU failed.
        """
        used = None if self.detector is None else self.detector.memory_used()
        self.gpu_memory = None if used is None else used / 2**20

    def close(self) -> None:
        """Close the detector and give back what it holds; further calls do nothing."""
        detector, self.detector = self.detector, None
        if detector is not None:
            detector.close()

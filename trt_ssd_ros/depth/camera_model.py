"""Pinhole camera: from pixels to rays and back, with the lens distortion of sensor_msgs/CameraInfo.

Points are in the camera's optical frame (REP 103): x right, y down, z away from the camera, in metres. A pixel
(u, v) is a position in the image; the centre of the first pixel is (0, 0), as in OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from trt_ssd_ros.images.calibration import DISTORTIONS

Array = NDArray[np.float64]
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
FISHEYE = "equidistant"
ITERATIONS = 50
ROUND_TRIP = 1e-6
"""Largest error of a ray of a fisheye lens when it is projected again, in focal lengths."""
EXCESS = 0.1
"""Part of the image's width or height by which boxes may reach beyond it: some detectors do not clip them."""
_EDGE, _AXIS = [0, 1, 2, 3], [0, 1, 0, 1]
_LOW, _HIGH = [[0, 1], [0, 1], [2, 1], [0, 3]], [[0, 3], [2, 1], [2, 3], [2, 3]]
"""Edges of a box of which the middles of its edges are the means: (x1, y1 and y2), (x1 and x2, y1), ..."""


class CameraModelError(ValueError):
    """Unusable camera_info; the text says on one line what was found, what was expected and what to do."""


class Region(Protocol):
    """Fields of a `sensor_msgs/RegionOfInterest`, in pixels of the full image; all 0: the full image."""

    x_offset: int
    y_offset: int
    width: int
    height: int


class CameraInfo(Protocol):
    """Fields of a `sensor_msgs/CameraInfo` that the camera model uses."""

    width: int
    height: int
    distortion_model: str
    d: Sequence[float]
    k: Any
    r: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True)
class PinholeCamera:
    """Camera whose rays meet in one point.

    Attributes:
        width: Image width in pixels.
        height: Image height in pixels.
        fx: Horizontal focal length in pixels.
        fy: Vertical focal length in pixels.
        cx: Column of the principal point in pixels.
        cy: Row of the principal point in pixels.
        model: Distortion model, a key of `images.calibration.DISTORTIONS`; empty for rectified pixels.
        distortion: Coefficients of the distortion model; empty for rectified pixels.
        rotation: Rotation from the frame of the raw image to the optical frame, 3x3 in row-major order.

    Raises:
        CameraModelError: A focal length or a side is not positive, a number is not finite, or the coefficients do
            not fit the model.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: str = ""
    distortion: tuple[float, ...] = ()
    rotation: tuple[float, ...] = IDENTITY

    def __post_init__(self) -> None:
        if not (self.width > 0 and self.height > 0):
            raise CameraModelError(
                f"camera_info has the size {self.width}x{self.height}, expected the image's size: "
                "set it in the camera driver"
            )
        if not np.isfinite([self.cx, self.cy, *self.distortion, *self.rotation]).all():
            raise CameraModelError(
                "camera_info has a number in K, P, D or R that is infinite or no number: load the camera's "
                "calibration in the driver"
            )
        if not (0 < self.fx < np.inf and 0 < self.fy < np.inf):
            raise CameraModelError(
                f"camera_info has the focal lengths {self.fx:g} and {self.fy:g}, expected finite numbers above 0: "
                "calibrate the camera with camera_calibration, or load its calibration in the driver"
            )
        if self.distortion and len(self.distortion) not in DISTORTIONS.get(self.model, ()):
            known = ", ".join(f"{name} with {' or '.join(map(str, n))}" for name, n in DISTORTIONS.items())
            raise CameraModelError(
                f"camera_info has the distortion model {self.model!r} with {len(self.distortion)} coefficients, "
                f"expected one of {known}: calibrate the camera with camera_calibration"
            )

    @classmethod
    def from_info(cls, info: CameraInfo, rectified: bool) -> PinholeCamera:
        """Return the camera of a message, for the pixels of its region of interest and binning.

        Args:
            info: Any object with the fields of a `sensor_msgs/CameraInfo`.
            rectified: Whether the image is rectified (P describes it) or raw (K, D and R describe it). Without
                distortion both are one image, and K describes it.

        Raises:
            CameraModelError: The camera is not calibrated, or a field is wrong.
        """
        # Zeros are no distortion of a pinhole's image, but the equidistant projection is none of a pinhole.
        distortion = tuple(map(float, info.d)) if any(info.d) else ()
        if info.distortion_model == FISHEYE:
            distortion = distortion or (0.0, 0.0, 0.0, 0.0)
        p, k = _numbers(info.p, 12, "p"), _numbers(info.k, 9, "k")
        if rectified and p[0] and p[5]:
            # P[3], the baseline of a stereo pair, is left out: rays begin at this camera, not at the left one.
            full = cls(info.width, info.height, p[0], p[5], p[2], p[6])
        else:
            rotation = _numbers(info.r, 9, "r") if any(info.r) and not rectified else IDENTITY
            lens = ("", ()) if rectified or not distortion else (info.distortion_model, distortion)
            full = cls(info.width, info.height, k[0], k[4], k[2], k[5], *lens, rotation)
        return full.cropped(info.roi).binned(info.binning_x, info.binning_y)

    def cropped(self, roi: Region) -> PinholeCamera:
        """Return the camera of a region of interest; of the full image if all its fields are 0."""
        if not (roi.width and roi.height):
            return self
        cx, cy = self.cx - roi.x_offset, self.cy - roi.y_offset
        return replace(self, width=roi.width, height=roi.height, cx=cx, cy=cy)

    def binned(self, binning_x: int, binning_y: int) -> PinholeCamera:
        """Return the camera of an image whose pixels are blocks of this one's; 0 and 1 both mean no binning."""
        x, y = max(binning_x, 1), max(binning_y, 1)
        # As in image_geometry, the principal point is divided, although centres of blocks move by half a pixel.
        lens = replace(self, fx=self.fx / x, fy=self.fy / y, cx=self.cx / x, cy=self.cy / y)
        return replace(lens, width=self.width // x, height=self.height // y)

    def resized(self, width: int, height: int) -> PinholeCamera:
        """Return the camera of the image resized to another size in pixels."""
        x, y = width / self.width, height / self.height
        cx, cy = (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5
        return replace(self, width=width, height=height, fx=self.fx * x, fy=self.fy * y, cx=cx, cy=cy)

    def require_size(self, width: int, height: int, name: str = "depth image") -> None:
        """Check that an image has the size that this camera describes.

        CameraInfo tells binning and region of interest. An image that was resized without them has another K,
        which only its publisher knows.

        Raises:
            CameraModelError: The sizes differ; the text has both.
        """
        if (width, height) != (self.width, self.height):
            raise CameraModelError(
                f"{name} has {width}x{height} pixels, but its camera_info is for {self.width}x{self.height}: "
                "remap the camera_info of this image, or publish one that fits (K, width, height, binning, roi)"
            )

    def require_boxes(self, boxes: ArrayLike) -> None:
        """Check that boxes belong to images of the size that this camera describes.

        Args:
            boxes: (N, 4) x1 y1 x2 y2 in pixels; those that are not finite are ignored.

        Raises:
            CameraModelError: A box is outside; the text has both sizes.
        """
        ends = np.asarray(boxes, np.float64).reshape(-1, 4)[:, 2:]
        right, bottom = ends[np.isfinite(ends).all(axis=1)].max(axis=0, initial=0)
        if right > self.width * (1 + EXCESS) or bottom > self.height * (1 + EXCESS):
            raise CameraModelError(
                f"a box ends at {right:.0f}, {bottom:.0f}, but camera_info is for {self.width}x{self.height} "
                "pixels: remap camera_info to that of the detector's images"
            )

    @cached_property
    def matrix(self) -> Array:
        """(3, 3) float64, K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    @cached_property
    def pixel_rays(self) -> NDArray[np.float32]:
        """(H, W, 2) float32, x / z and y / z of the ray through each pixel's centre."""
        v, u = np.mgrid[: self.height, : self.width]
        return self.rays(np.stack([u, v], axis=-1)).astype(np.float32)

    def rays(self, pixels: ArrayLike) -> Array:
        """Return x / z and y / z (..., 2) of the rays through pixels (..., 2) u v: a point is `z * (x, y, 1)`.

        NaN for pixels of a fisheye lens that see to the side or behind the camera.
        """
        at = np.asarray(pixels, np.float64)
        undistorted = self._undistorted(at) if self.distortion else self._normalised(at)
        if self.rotation == IDENTITY:
            return undistorted
        turned = _homogeneous(undistorted) @ np.reshape(self.rotation, (3, 3)).T
        return np.asarray(turned[..., :2] / turned[..., 2:])

    def project(self, points: ArrayLike) -> Array:
        """Return the pixels (..., 2) u v of points (..., 3); NaN for points behind the camera."""
        turned = np.asarray(points, np.float64)
        if self.rotation != IDENTITY:
            turned = turned @ np.reshape(self.rotation, (3, 3))
        with np.errstate(divide="ignore", invalid="ignore"):
            rays = np.where(turned[..., 2:] > 0, turned[..., :2] / turned[..., 2:], np.nan)
        distorted = self._distorted(rays) if self.distortion else rays
        return np.asarray(distorted * (self.fx, self.fy) + (self.cx, self.cy))

    def _normalised(self, pixels: Array) -> Array:
        rays = np.empty(pixels.shape)  # by column: NumPy is slow where the last axis has two entries
        np.multiply(pixels[..., 0] - self.cx, 1 / self.fx, out=rays[..., 0])
        np.multiply(pixels[..., 1] - self.cy, 1 / self.fy, out=rays[..., 1])
        return rays

    def _undistorted(self, pixels: Array) -> Array:
        if self.model == FISHEYE:
            return self._fisheye_rays(pixels)
        flat = np.ascontiguousarray(pixels).reshape(-1, 1, 2)
        if not len(flat):
            return pixels
        stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, ITERATIONS, 1e-9)
        rays = cv2.undistortPointsIter(flat, self.matrix, np.array(self.distortion), np.eye(3), np.eye(3), stop)
        return np.asarray(rays, np.float64).reshape(pixels.shape)

    def _fisheye_rays(self, pixels: Array) -> Array:
        """Return the rays (..., 2) of pixels (..., 2), by Newton's method.

        Source: Kannala and Brandt, 2006: r = a (1 + k1 a^2 + k2 a^4 + k3 a^6 + k4 a^8) for a ray at the angle a.
        """
        at = self._normalised(pixels)
        radius = np.hypot(at[..., 0], at[..., 1])
        powers = np.array([*reversed(self.distortion), 1.0])
        slopes = powers * np.array([9, 7, 5, 3, 1])
        angle = radius
        with np.errstate(all="ignore"):
            for _ in range(ITERATIONS):
                square = angle * angle
                angle = angle - (angle * np.polyval(powers, square) - radius) / np.polyval(slopes, square)
            missed = np.abs(angle * np.polyval(powers, angle * angle) - radius)
            rays = at * (np.tan(angle) / np.where(radius > 0, radius, 1.0))[..., None]
        rays[~((missed < ROUND_TRIP) & (angle >= 0) & (angle < np.pi / 2))] = np.nan
        return np.asarray(rays)

    def _distorted(self, rays: Array) -> Array:
        flat = np.ascontiguousarray(rays).reshape(-1, 1, 2)
        if not len(flat):
            return rays
        if self.model == FISHEYE:
            moved = cv2.fisheye.distortPoints(flat, np.eye(3), np.array(self.distortion))
        else:
            origin = np.zeros(3)
            moved, _ = cv2.projectPoints(_homogeneous(flat), origin, origin, np.eye(3), np.array(self.distortion))
        return np.asarray(moved, np.float64).reshape(rays.shape)


def box_rays(boxes: Sequence[Sequence[float]], camera: PinholeCamera) -> list[list[float]]:
    """Return the edges of boxes in pixels, x1 y1 x2 y2, as x / z or y / z of rays to them."""
    if camera.distortion or camera.rotation != IDENTITY:
        edges: list[list[float]] = camera.rays(_middles(boxes))[:, _EDGE, _AXIS].tolist()
        return edges
    left, top, fx, fy = camera.cx + 0.5, camera.cy + 0.5, camera.fx, camera.fy
    return [[(x1 - left) / fx, (y1 - top) / fy, (x2 - left) / fx, (y2 - top) / fy] for x1, y1, x2, y2 in boxes]


def map_boxes(boxes: ArrayLike, source: PinholeCamera, target: PinholeCamera) -> NDArray[np.float32]:
    """Return boxes (N, 4) x1 y1 x2 y2 in pixels of another image from the same optical frame.

    The middles of the edges are mapped, so that a box of a distorted image keeps its width and height.
    """
    edges = box_rays(np.reshape(boxes, (-1, 4)).tolist(), source)
    moved = target.project(_homogeneous(_middles(np.array(edges) + 0.5)))
    return np.asarray(moved[:, _EDGE, _AXIS] + 0.5, np.float32)


def _middles(boxes: ArrayLike) -> Array:
    """Return the middles of the edges (N, 4, 2) of boxes (N, 4), as positions from the first pixel's centre."""
    edges = np.asarray(boxes, np.float64).reshape(-1, 4) - 0.5  # boxes count pixels from the image's corner
    return (edges[:, _LOW] + edges[:, _HIGH]) / 2


def _homogeneous(rays: Array) -> Array:
    return np.concatenate([rays, np.ones_like(rays[..., :1])], axis=-1)


def _numbers(values: Any, count: int, name: str) -> tuple[float, ...]:
    numbers = tuple(map(float, values))
    if len(numbers) != count:
        raise CameraModelError(f"camera_info has {len(numbers)} numbers in {name}, expected {count}")
    return numbers

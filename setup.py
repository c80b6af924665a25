"""Install trt_ssd_ros as an ament_python package."""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "trt_ssd_ros"
COMMANDS = (
    *("detector_node", "camera_node", "composed_node", "locator_node", "web_node", "record", "watch"),
    *("soak", "transport_benchmark"),
    *("benchmark", "build_engine", "detect", "doctor", "evaluate", "import_model", "quantize_model"),
)


def share(folder: str, *patterns: str) -> tuple[str, list[str]]:
    """Return the data_files entry that installs a folder's files in the package's share folder."""
    files = sorted(file for pattern in patterns for file in glob(f"{folder}/{pattern}"))
    return f"share/{PACKAGE}/{folder}", files


setup(
    name=PACKAGE,
    version="0.1.0",  # stated again because catkin_prepare_release replaces it here and in package.xml
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "common.css", "tools/evaluate/page.html", "web/page/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        share("launch", "*.launch.py"),
        share("launch/cameras", "*.launch.py"),
        share("config", "*.yaml", "*.xml", "*.rviz", "*.json"),
        share("config/models", "*.yaml"),
        share("config/labels", "*.txt"),
        share("config/sros2", "*.xml"),
        share("engines", "*.onnx"),
        share("photos", "*.jpg"),
    ],
    python_requires=">=3.10",
    # scripts/requirements/oldest.in gives the reasons for these versions; scripts/test --oldest runs them.
    install_requires=[
        "setuptools",
        "numpy>=1.21",
        "onnx>=1.16",
        "onnxruntime>=1.20.1",
        "pyyaml",
        "scipy>=1.8",
        "tqdm",
    ],
    extras_require={
        "tools": [
            *("opencv-python-headless>=4.5", "av", "defusedxml", "jinja2"),
            *("matplotlib", "psutil", "pycocotools", "rosbags"),
        ],
        "fleet": ["ray"],
    },
    zip_safe=False,
    maintainer="trt_ssd_ros developers",
    maintainer_email="developers@trt-ssd-ros.org",
    description="SSD object detection for ROS 2: images in, vision_msgs/Detection2DArray out.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [f"{command} = {PACKAGE}.commands:{command}" for command in COMMANDS],
    },
)

"""One path through TensorRT 8.5 to 11 and TensorRT for RTX: nothing is touched that some release does not have.

A use is fine in a release that has the attribute, and in one that never gets there: because an `if`, `and`,
conditional expression or early return before it asks for something (hasattr, getattr with a default) that this
release answers otherwise, or because all of the engines' code that uses its function is behind such a question. An
object whose class a release lacks cannot exist there. scripts/read_tensorrt_api read what the releases have.
"""

from __future__ import annotations

import ast
import importlib
import runpy
from pathlib import Path
from textwrap import dedent

import pytest
from tensorrt_rules import RELEASES, RULES, Release, missing, problems
from tensorrt_usage import MODULE, Source, conventional, name_of

ROOT = Path(__file__).parents[2]
ENGINES = ROOT / "trt_ssd_ros" / "engines"
WITHOUT_TENSORRT = {"cuda.py"}  # their contexts and graphs are CUDA's
OURS = {path.name: path.read_text() for path in sorted(ENGINES.glob("*.py")) if path.name not in WITHOUT_TENSORRT}
SURELY_USED = {
    "Builder": "build_serialized_network",
    "IBuilderConfig": "set_memory_pool_limit",
    "ICudaEngine": "create_execution_context",
    "IExecutionContext": "execute_async_v3",
    "ILogger": "ERROR",
    "IOptimizationProfile": "set_shape",
    "MemoryPoolType": "WORKSPACE",
    "NetworkDefinitionCreationFlag": "EXPLICIT_BATCH",
    "OnnxParser": "parse",
    "Runtime": "deserialize_cuda_engine",
    "TensorIOMode": "INPUT",
    MODULE: "Builder",
}


# ---- our code ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours() -> Source:
    return Source(OURS)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_each_release_has_what_the_engines_touch(ours, release):
    assert missing(ours, release) == []


@pytest.mark.parametrize("rule", RULES)
def test_the_engines_keep_the_rules_that_make_this_checkable(ours, rule):
    assert rule(ours) == []


def test_the_collection_finds_what_the_engines_surely_use(ours):
    found = {(touch.owner, touch.name) for touch in ours.touches()}
    assert set(SURELY_USED.items()) - found == set()


@pytest.mark.parametrize("name", sorted(WITHOUT_TENSORRT))
def test_a_file_that_is_left_out_knows_no_tensorrt(name):
    words = {name_of(node) for node in ast.walk(ast.parse((ENGINES / name).read_text()))}
    assert {word.lstrip("_") for word in words if conventional(word)} <= {"context"}
    assert not [word for word in words if "tensorrt" in word.lower()]


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"])
def test_the_tensorrt_that_is_installed_here_has_what_the_engines_touch(ours, name):
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:
        pytest.skip(f"{name} cannot be imported here: {error}")
    describe = runpy.run_path(str(ROOT / "scripts" / "read_tensorrt_api"))["describe"]
    assert missing(ours, Release.described(f"{name} {module.__version__}", describe(module))) == []


# ---- the data ------------------------------------------------------------------------------------


def test_the_data_are_of_the_releases_that_differ():
    names = "tensorrt-8.6 tensorrt-10.3 tensorrt-10.16 tensorrt-11.4 tensorrt_rtx-1.6 tensorrt_rtx-1.7"
    assert {release.name for release in RELEASES} == set(names.split())


@pytest.mark.parametrize(
    ("owner", "name", "where"),
    [
        ("ICudaEngine", "num_bindings", "tensorrt-8.6"),
        ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", "tensorrt-8.6 tensorrt-10.3 tensorrt-10.16"),
        ("ICudaEngine", "create_runtime_config", "tensorrt-10.16 tensorrt-11.4 tensorrt_rtx-1.6 tensorrt_rtx-1.7"),
        ("IRuntimeConfig", "create_runtime_cache", "tensorrt_rtx-1.6 tensorrt_rtx-1.7"),
        ("ILogger.Severity", "ERROR", " ".join(release.name for release in RELEASES)),
    ],
)
def test_the_data_say_what_is_known_of_the_releases(owner, name, where):
    assert {release.name for release in RELEASES if release.has(owner, name)} == set(where.split())


# ---- the rules, on small pieces of code ----------------------------------------------------------

FINE = {
    "in every release": "def f(engine): return engine.num_io_tensors",
    "if": """
        def f(engine):
            if hasattr(engine, "create_runtime_config"):
                engine.create_runtime_config()
    """,
    "conditional expression": """
        def f(self):
            return self._engine.create_runtime_config() if hasattr(self._engine, "create_runtime_config") else None
    """,
    "early return": """
        def f(engine):
            if not hasattr(engine, "create_runtime_config"):
                return engine.create_execution_context()
            return engine.create_execution_context(engine.create_runtime_config())
    """,
    "and": 'def f(engine): return hasattr(engine, "get_engine_stat") and engine.get_engine_stat(0)',
    "comprehension": """
        def f(all): return [engine.get_engine_stat(0) for engine in all if hasattr(engine, "get_engine_stat")]
    """,
    "kept answer": """
        def f(engine):
            able = hasattr(engine, "create_runtime_config")
            return engine.create_runtime_config() if able else None
    """,
    "function that answers": """
        def able(engine):
            return hasattr(engine, "create_runtime_config")
        def f(engine):
            if able(engine):
                engine.create_runtime_config()
    """,
    "getattr": """
        def f(engine):
            create = getattr(engine, "create_runtime_config", None)
            if create is not None:
                engine.create_runtime_config()
    """,
    "sibling that always comes along": """
        def f(trt, runtime_config, runtime_cache):
            if hasattr(runtime_config, "create_runtime_cache"):
                runtime_config.set_runtime_cache(runtime_cache)
                runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    """,
    "only caller asks": """
        def g(engine):
            engine.create_runtime_config()
        def f(engine):
            if hasattr(engine, "create_runtime_config"):
                g(engine)
    """,
    "what only old releases have, in the other branch": """
        def f(engine):
            if hasattr(engine, "num_io_tensors"):
                return engine.num_io_tensors
            return engine.num_bindings
    """,
    "names that a loop goes through": """
        def f(trt):
            flags = trt.NetworkDefinitionCreationFlag
            return [getattr(flags, name, None) for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED")]
    """,
    "class within a function": """
        def f(trt, config):
            if not hasattr(trt, "IProgressMonitor"):
                return
            class Monitor(trt.IProgressMonitor):
                def __init__(self): trt.IProgressMonitor.__init__(self)
            config.progress_monitor = Monitor()
    """,
    "same version": "def f(trt, plan): return plan.version == trt.__version__",
    "version of another library": 'def f(onnxruntime): return onnxruntime.__version__ >= "1"',
}
WRONG = {
    "newer attribute": ("def f(engine): engine.create_runtime_config()", "8.6 has no ICudaEngine.create_runtime"),
    "newer attribute of self": (
        "def f(self): self._engine.get_engine_stat(0)",
        "8.6 has no ICudaEngine.get_engine",
    ),
    "newer member of the module": (
        "def f(library): library.module.CudaGraphStrategy",
        "11.4 has no module.CudaGraph",
    ),
    "older enum member": ("def f(trt): trt.BuilderFlag.FP16", "11.4 has no BuilderFlag.FP16"),
    "older enum member of an alias": ("def f(trt):\n flags = trt.BuilderFlag\n flags.FP16", "no BuilderFlag.FP16"),
    "getattr without a default": ('def f(engine): getattr(engine, "get_engine_stat")', "8.6 has no ICudaEngine"),
    "setattr": (
        'def f(config): setattr(config, "int8_calibrator", 0)',
        "11.4 has no IBuilderConfig.int8_calibrator",
    ),
    "use after the branch": (
        'def f(engine):\n if hasattr(engine, "get_engine_stat"):\n  pass\n engine.get_engine_stat(0)',
        "8.6 has no ICudaEngine.get_engine_stat",
    ),
    "use in the wrong branch": (
        'def f(engine):\n if hasattr(engine, "get_engine_stat"):\n  pass\n else:\n  engine.get_engine_stat(0)',
        "8.6 has no ICudaEngine.get_engine_stat",
    ),
    "question about something older": (
        'def f(engine):\n if hasattr(engine, "get_tensor_name"):\n  engine.get_engine_stat(0)',
        "8.6 has no ICudaEngine.get_engine_stat",
    ),
    "second caller does not ask": (
        """
        def g(engine): engine.get_engine_stat(0)
        def f(engine): return g(engine) if hasattr(engine, "get_engine_stat") else None
        def h(engine): g(engine)
        """,
        "8.6 has no ICudaEngine.get_engine_stat",
    ),
    "misspelt attribute": ("def f(engine): engine.num_io_tensor", "no release has ICudaEngine.num_io_tensor"),
    "misspelt question": ('def f(engine): hasattr(engine, "get_stat")', "no release has ICudaEngine.get_stat"),
    "misspelt class": ("def f(trt): trt.IBuilder", "no release has module.IBuilder"),
    "misspelt in a loop": (
        'def f(trt): return [getattr(trt.BuilderFlag, n, None) for n in ("FP16", "FB16")]',
        "no release has BuilderFlag.FB16",
    ),
    "result of unknown type": ("def f(engine): engine.get_tensor_shape('x').foo", "or missing in RESULTS"),
    "unknown object": ("def f(thing): thing.execute_async_v3(0)", "is thing.execute_async_v3 TensorRT's?"),
    "unknown object of self": (
        "def f(self): self._x.execute_async_v3(0)",
        "is self._x.execute_async_v3 TensorRT's?",
    ),
    "unknown module": ("import tensorrt as t\nt.Builder", "is t.Builder TensorRT's?"),
    "name that hides the type": ("def f(builder): it = builder.create_network(0)", "it is a INetworkDefinition"),
    "constructor": ("def f(self, trt): self._maker = trt.Builder(0)", "self._maker is a Builder"),
    "name of another type": ("def f(trt): engine = trt.Runtime(0)", "engine is a Runtime"),
    "import from": ("from tensorrt import Builder", "import the module"),
    "ordered versions": ('def f(trt): return trt.__version__ >= "10"', "compares versions"),
    "part of a version": ('def f(trt): return int(trt.__version__.split(".")[0]) == 8', "compares versions"),
    "kept version": ("def f(library):\n major = library.version[:2]\n return major > '8.'", "compares versions"),
    "start of a version": ('def f(trt): return trt.__version__.startswith("8.")', "compares versions"),
}


@pytest.mark.parametrize("code", FINE.values(), ids=FINE)
def test_code_that_asks_first_is_fine(code):
    assert problems(Source({"snippet.py": dedent(code)})) == []


@pytest.mark.parametrize(("code", "report"), WRONG.values(), ids=WRONG)
def test_code_that_does_not_is_reported(code, report):
    assert report in "\n".join(problems(Source({"snippet.py": dedent(code)})))

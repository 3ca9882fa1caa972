"""Imported by Python itself before the application: runs the `sitecustomize` it hides, then watches for SDKs.

Whatever fails here is one line on stderr at most; the application starts as it would without us.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_TRIGGERS = (
    "aiobotocore.client",
    "anthropic",
    "botocore.client",
    "cohere",
    "google.genai",
    "litellm",
    "mistralai",
    "mistralai.azure.client",
    "mistralai.client",
    "mistralai.gcp.client",
    "openai",
    "spanledger.instrumentation",
)


def _run_hidden() -> None:
    """Run the `sitecustomize` that Python would have found without this folder, under its own name."""
    here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120 - pathlib would be loaded for nothing
    # Children need the folder in their environment; this process has no more use for it.
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _watch() -> None:
    """Most processes load no SDK and pay for nothing: all else waits for the import of one."""
    import wrapt

    started: list[str] = []

    def loaded(module: object) -> None:
        if started:
            return
        started.append(getattr(module, "__name__", ""))
        try:
            from spanledger.instrumentation.setup import instrument_from_environment

            instrument_from_environment()
        except Exception as reason:  # noqa: BLE001 - nothing of ours may stop an import of the application
            _say(reason)

    for name in _TRIGGERS:
        wrapt.register_post_import_hook(loaded, name)


def _say(reason: object) -> None:
    sys.stderr.write(f"spanledger: this process is not instrumented: {reason!r}\n")


try:
    _run_hidden()
finally:
    try:
        _watch()
    except Exception as reason:  # noqa: BLE001 - as above
        _say(reason)

"""Has addresses of AWS that a program names itself lead to the server that `sagebird run` names.

Python imports this file before the program. It is a file of its own for whatever Python that is: standard
library alone, and of botocore only what the program has. The SageMaker SDK, for one, asks STS at its address.
"""

import importlib.machinery
import importlib.util
import os
import re
import sys
from typing import Any

_AWS = re.compile(r"(https?://)?[^/?#]*\.(amazonaws\.com(\.cn)?|api\.aws)(:[0-9]+)?([/?#].*)?", re.I | re.S)


class _Finder:
    """Sees botocore's maker of clients come: who has no botocore, or needs none of it, pays nothing."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "botocore.client":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                _redirect(module.ClientCreator)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one object
        return spec


def _redirect(maker: Any) -> None:
    make = maker.create_client

    def create_client(self: Any, *arguments: Any, **named: Any) -> Any:
        if _AWS.fullmatch(named.get("endpoint_url") or ""):
            named["endpoint_url"] = os.environ["AWS_ENDPOINT_URL"]
        return make(self, *arguments, **named)

    maker.create_client = create_client


def _go_on() -> None:
    """Run the file of this name that Python would have found without this one, in its place."""
    sys.path.remove(os.path.dirname(__file__))
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["sitecustomize"])


if os.environ.get("AWS_ENDPOINT_URL"):
    sys.meta_path.insert(0, _Finder())
_go_on()

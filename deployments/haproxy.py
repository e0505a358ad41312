"""What Ray Serve's HAProxy configuration says otherwise here (docs/decisions/0007-haproxy.md).

Serve has no setting for it, so its template is amended where it is loaded: in the one process that
writes the configuration, by a hook that Ray runs as each worker starts.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HOOK = "deployments.haproxy.install"
TEMPLATES = "ray.serve._private.haproxy_templates"
# Each worker imports this module: nothing of the engine's is imported here (a test compares).
CODE = "unavailable"
_NOT_FOUND = (
    "    http-request return status 404 content-type text/plain lf-string"
    """ "Path '%[path]' not found. Ping http://.../-/routes for available routes."\n"""
)
_FRONT = "    bind {{ config.frontend_host }}:{{ config.frontend_port }}\n"
_ERROR_FILES = "".join(
    f"    errorfile {status} {{{{ config.error_file_path }}}}\n" for status in (502, 503, 504)
)


def _problem(status: int, title: str) -> str:
    """A problem document as HAProxy answers it; `api/problems.py` has those of the gateway."""
    body = {"type": f"urn:vibestream:problem:{CODE}", "title": title, "status": status}
    text = json.dumps({**body, "code": CODE}, separators=(",", ":"))
    head = f"status {status} content-type application/problem+json hdr Retry-After 1"
    return f"{head} string '{text}'"


AMENDMENTS = (
    # The gateway answers for every path; while it is not there, it is the engine that is away.
    (_NOT_FOUND, f"    http-request return {_problem(503, 'The service is starting.')}\n"),
    # Ray would have it 500: a client could not tell a replica that was killed from a defect.
    (
        _ERROR_FILES,
        f"    http-error {_problem(502, 'The service broke off; ask again.')}\n"
        f"    http-error {_problem(503, 'The service is away.')}\n"
        f"    http-error {_problem(504, 'The service took too long; ask again.')}\n",
    ),
    # The gateway counts and logs who asked. Whoever dawdles over a request's head is let go: by
    # default that takes an hour.
    (
        _FRONT,
        f"{_FRONT}    option forwardfor\n    timeout http-request 10s\n",
    ),
    # Nobody but this machine asks HAProxy how it is.
    ("    bind :{{ config.metrics_port }}\n", "    bind 127.0.0.1:{{ config.metrics_port }}\n"),
    ("  bind *:{{ config.stats_port }}\n", "  bind 127.0.0.1:{{ config.stats_port }}\n"),
)


def amend(template: str) -> str:
    """The template with our own sentences. ValueError if it has none to replace: Ray changed."""
    for theirs, ours in AMENDMENTS:
        if template.count(theirs) != 1:
            raise ValueError(f"Ray's HAProxy template has changed: {theirs!r}")
        template = template.replace(theirs, ours)
    return template


class _Amending:
    """Finds the module of templates as usual, and amends it once it is loaded."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != TEMPLATES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            module.HAPROXY_CONFIG_TEMPLATE = amend(module.HAPROXY_CONFIG_TEMPLATE)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Amend the template when, and only when, this process loads it."""
    if TEMPLATES not in sys.modules:
        sys.meta_path.insert(0, _Amending())

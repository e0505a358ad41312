"""The cluster's manifests agree with the locks, the settings and the engine, and hold no secret."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deployments.engine import serve_environment
from deployments.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FILES = ("ray_cluster.yaml", "ops/kubernetes/raycluster.yaml", "ops/container/Dockerfile")
ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
SERVE = (
    "RAY_SERVE_ENABLE_HA_PROXY",
    "RAY_SERVE_HAPROXY_NBTHREAD",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED",
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, Any]:
    """By kind."""
    return {d["kind"]: d for d in yaml.safe_load_all(text_of("ops/kubernetes/raycluster.yaml"))}


def _container(kubernetes: dict[str, Any]) -> dict[str, Any]:
    head = kubernetes["RayCluster"]["spec"]["headGroupSpec"]
    [container] = head["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_the_cluster_launcher_accepts_its_file() -> None:
    spec = find_spec("ray")  # found, not imported
    assert spec is not None
    assert spec.origin is not None
    schema = Path(spec.origin).parent / "autoscaler" / "ray-schema.json"
    cluster = yaml.safe_load(text_of("ray_cluster.yaml"))
    jsonschema.validate(cluster, json.loads(schema.read_text("utf-8")))


@pytest.mark.parametrize("name", FILES)
def test_every_node_starts_serve_as_the_engine_does(name: str) -> None:
    wanted, text = serve_environment(Settings()), text_of(name)
    assert name.endswith("Dockerfile") or re.search(r"RAY_AUTH_MODE(=|, value: )token", text)
    for variable in SERVE:
        value = wanted[variable]
        assert re.search(rf'{variable}(?:=|, value: "){value}\b', text), variable


def test_versions_are_those_of_the_locks(kubernetes: dict[str, Any]) -> None:
    locked = re.search(r"^ray(?:\[.*\])?==([\d.]+)", text_of("requirements.lock"), re.MULTILINE)
    assert locked is not None
    assert kubernetes["RayCluster"]["spec"]["rayVersion"] == locked[1]
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert _container(kubernetes)["image"] == f"vibestream:{version}"


def test_ports_and_variables_are_settings(kubernetes: dict[str, Any]) -> None:
    container = _container(kubernetes)
    variables = {one["name"]: one["value"] for one in container["env"]}
    for name in variables:
        if name.startswith("VIBESTREAM_"):
            assert name.removeprefix("VIBESTREAM_").lower() in Settings.model_fields, name
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    defaults = Settings()
    assert ports["http"] == defaults.http_port == int(variables["VIBESTREAM_HTTP_PORT"])
    assert ports["realtime"] == defaults.realtime_port
    assert f"EXPOSE {defaults.http_port} {defaults.realtime_port}" in text_of(FILES[2])
    assert kubernetes["Service"]["spec"]["ports"][0]["targetPort"] == "http"


@pytest.mark.parametrize("name", FILES)
def test_they_hold_no_secret_and_no_address(name: str) -> None:
    text = text_of(name)
    assert set(ADDRESS.findall(text)) <= {"0.0.0.0", "127.0.0.1"}
    assert not re.search(r"(password|postgresql|rediss?)(://|=)", text, re.IGNORECASE)


def test_nobody_is_root(kubernetes: dict[str, Any]) -> None:
    pod = kubernetes["RayCluster"]["spec"]["headGroupSpec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert _container(kubernetes)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert re.search(r"^USER vibestream$", text_of(FILES[2]), re.MULTILINE)

"""What deploy/ and the Dockerfile say fits the service, and Kubernetes would take it."""

import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import prometheus_client
import pytest
import yaml
from kuberay import JOB
from typer.main import get_command

from refocal.cli import app
from refocal.depth.onnx_network import PRESETS
from refocal.serving import metrics
from refocal.serving.settings import Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OURS = [path for path in MANIFESTS if path.name != "kustomization.yaml"]


def load(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def of_kind(kind: str) -> Any:
    (found,) = [content for path in OURS for content in [yaml.safe_load(path.read_text())] if content["kind"] == kind]
    return found


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_kubernetes_takes_the_manifest(path: Path, version: str) -> None:
    kubernetes_validate.validate(yaml.safe_load(path.read_text()), version, strict=True)


def test_the_validator_refuses_a_field_that_is_not_there() -> None:
    wrong = of_kind("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_kustomize_lists_every_manifest() -> None:
    assert set(load("kubernetes/kustomization.yaml")["resources"]) == {path.name for path in OURS}


def test_selectors_find_the_pods_and_the_autoscaler_its_deployment() -> None:
    deployment = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert of_kind("Service")["spec"]["selector"].items() <= labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels
    target = of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    claims = [
        volume["persistentVolumeClaim"]["claimName"] for volume in pod()["volumes"] if "persistentVolumeClaim" in volume
    ]
    assert claims == [of_kind("PersistentVolumeClaim")["metadata"]["name"]]


def pod() -> Any:
    return of_kind("Deployment")["spec"]["template"]["spec"]


def test_probes_and_ports_are_those_of_the_service() -> None:
    container = pod()["containers"][0]
    port = container["ports"][0]
    assert port["containerPort"] == dockerfile_port()
    assert container["startupProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert of_kind("Service")["spec"]["ports"][0]["targetPort"] == port["name"]
    targets = load("prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"refocal:{dockerfile_port()}"]


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def dockerfile_port() -> int:
    found = re.search(r"^EXPOSE (\d+)$", dockerfile(), re.MULTILINE)
    assert found
    assert f'"--port", "{found[1]}"' in dockerfile()
    assert f":{found[1]}/readyz" in dockerfile()
    return int(found[1])


def test_nobody_is_root_and_only_the_state_and_tmp_can_be_written() -> None:
    user = re.findall(r"^USER (\d+)$", dockerfile(), re.MULTILINE)
    assert user == [str(pod()["securityContext"]["runAsUser"])]
    assert user != ["0"]
    rights = pod()["containers"][0]["securityContext"]
    assert rights == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["mountPath"] for mount in pod()["containers"][0]["volumeMounts"]}
    state = re.search(r"^    REFOCAL_DIR=(\S+)", dockerfile(), re.MULTILINE)
    assert state
    assert mounted == {state[1], "/tmp"}  # noqa: S108  of the container
    service = load("compose.yaml")["services"]["refocal"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["volumes"] == [f"state:{state[1]}", "tmp:/tmp"]
    assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])


def test_what_may_be_uploaded_fits_where_it_waits() -> None:
    """Pods are evicted, and all their requests lost, when a temporary folder grows beyond its limit."""
    settings = Settings()
    waits = settings.max_batch_bytes + settings.concurrency * settings.max_bytes  # one batch at a time
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert volumes["tmp"]["emptyDir"]["sizeLimit"] == "4Gi"
    assert waits <= 4 << 30
    told = {entry["name"]: entry.get("value") for entry in pod()["containers"][0]["env"]}
    claim = load("kubernetes/state.yaml")["spec"]["resources"]["requests"]["storage"]
    assert claim == "20Gi"
    assert int(told["REFOCAL_JOBS"]) * 2 * settings.max_batch_bytes + settings.cache_bytes <= 20 << 30
    assert "tmpfs" not in load("compose.yaml")["services"]["refocal"]  # it would count towards mem_limit


def test_the_depth_example_mounts_the_file_that_it_names() -> None:
    service = load("compose.depth.yaml")["services"]["refocal"]
    (volume,) = service["volumes"]
    assert volume["target"] == service["environment"]["REFOCAL_DEPTH_MODEL"]
    assert volume["read_only"] is True
    default = re.search(r":-(.+)}", service["environment"]["REFOCAL_DEPTH_PRESET"])
    assert default
    assert default[1] in PRESETS


def test_every_setting_that_is_used_exists() -> None:
    known = {f"REFOCAL_{field.name.upper()}" for field in fields(Settings)}
    texts = [path.read_text() for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml"), ROOT / "Dockerfile"]]
    used = {name for text in texts for name in re.findall(r"\bREFOCAL_[A-Z_]+", text)}
    assert used <= known
    assert {"REFOCAL_TOKEN", "REFOCAL_WORKERS", "REFOCAL_DIR"} <= used


def test_every_metric_of_ours_on_the_dashboard_exists() -> None:
    suffixes = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_count", "_sum"]}
    ours = [made for made in vars(metrics).values() if isinstance(made, prometheus_client.metrics.MetricWrapperBase)]
    known = {made._name + suffix for made in ours for suffix in suffixes[type(made).__name__]}
    dashboard = json.loads((DEPLOY / "grafana/dashboards/refocal.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"refocal_\w+", target["expr"])
    }
    assert asked <= known
    assert {made._name for made in ours} <= {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked}
    source = load("grafana/provisioning/datasources/prometheus.yaml")["datasources"][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source}


def test_kuberay_takes_the_batch_and_kubernetes_its_pods() -> None:
    job = load("batch/job.yaml")
    jsonschema.validate(job, JOB)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, "1.34", strict=True)
        assert pod["spec"]["securityContext"]["runAsUser"] == 10001
    locked = re.search(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert cluster["rayVersion"] == locked[1]
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 4
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, JOB)


def test_the_batches_of_the_examples_are_commands_of_ours() -> None:
    line = load("batch/job.yaml")["spec"]["entrypoint"]
    script = (DEPLOY / "batch/array.slurm").read_text(encoding="utf-8")
    (in_array,) = [text for text in script.splitlines() if text.startswith("refocal ")]
    known = {word for option in get_command(app).commands["batch"].params for word in option.opts}
    for words in (shlex.split(line), shlex.split(in_array)):
        assert words[:2] == ["refocal", "batch"]
        assert {word for word in words if word.startswith("--")} <= known

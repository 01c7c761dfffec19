"""The fields of KubeRay's RayJob, by its types (ray-operator/apis/ray/v1 of KubeRay 1.4), as a JSON schema.

Pod templates are left to Kubernetes' own schema.
"""

from typing import Any

WORDS = {"type": "object", "additionalProperties": {"type": "string"}}
POD = {
    "type": "object",
    "properties": {"metadata": {"type": "object"}, "spec": {"type": "object"}},
    "required": ["spec"],
}


def _object(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


COUNT = {"type": "integer", "minimum": 0}
TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
GROUP: dict[str, Any] = {"rayStartParams": WORDS, "template": POD}
CLUSTER = _object(
    ("headGroupSpec",),
    headGroupSpec=_object(
        ("rayStartParams", "template"),
        **GROUP,
        serviceType=TEXT,
        headService={"type": "object"},
        enableIngress=FLAG,
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
            **GROUP,
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            scaleStrategy={"type": "object"},
        ),
    },
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions={"type": "object"},
    headServiceAnnotations=WORDS,
    suspend=FLAG,
)
JOB = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=_object(("name",), name=TEXT, labels=WORDS, annotations=WORDS, namespace=TEXT),
    spec=_object(
        activeDeadlineSeconds=COUNT,
        backoffLimit=COUNT,
        rayClusterSpec=CLUSTER,
        submitterPodTemplate=POD,
        metadata=WORDS,
        clusterSelector=WORDS,
        submitterConfig=_object(backoffLimit=COUNT),
        managedBy=TEXT,
        deletionStrategy={"type": "object"},
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
        entrypointResources=TEXT,
        entrypointNumCpus={"type": "number"},
        entrypointNumGpus={"type": "number"},
        ttlSecondsAfterFinished=COUNT,
        shutdownAfterJobFinishes=FLAG,
        suspend=FLAG,
        schedule=TEXT,
    ),
)

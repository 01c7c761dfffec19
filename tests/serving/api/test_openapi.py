"""The OpenAPI is whole: what it allows is answered as it tells, and nothing that schemathesis sends makes us fail."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service_worker import worker

from refocal.serving.guard import Guard
from refocal.serving.turns import Turns

DOORS = [("post", path) for path in ("/refocus", "/sweep", "/disparity", "/views", "/living", "/batch")]
DOORS += [("get", "/batch/{job}"), ("delete", "/batch/{job}"), ("get", "/batch/{job}/result")]
CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, lens_model: Any) -> Any:
    app, told = worker(tmp_path_factory.mktemp("api"), lens_model, max_bytes=1 << 20, jobs=1000)
    return schemathesis.openapi.from_asgi("/docs.json", Guard(app, told, Turns(told.at_once)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), DOORS)
def test_nothing_that_schemathesis_sends_makes_the_service_fail(
    api: Any, method: str, path: str, mode: GenerationMode
) -> None:
    cases = api[path][method].as_strategy(generation_mode=mode)

    @given(case=cases)
    @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    send()


def test_all_doors_are_among_those_that_are_tried(api: Any) -> None:
    assert {(method, path) for path, doors in api.raw_schema["paths"].items() for method in doors} == set(DOORS)


def test_every_door_tells_what_it_is_for_and_shows_an_example(api: Any) -> None:
    spec = api.raw_schema
    for path, doors in spec["paths"].items():
        for method, door in doors.items():
            assert door["summary"], (path, method)
            assert door["description"]
            assert {"401", "503"} <= set(door["responses"])
    for name, body in spec["components"]["schemas"].items():
        if name.startswith("Body_"):
            assert all("description" in field for field in body["properties"].values()), name
            told = [field for field in body["properties"].values() if "contentMediaType" not in str(field)]
            assert all("examples" in field for field in told), (name, told)

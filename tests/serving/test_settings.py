"""Settings come from the environment, and a bad one is named."""

from dataclasses import fields
from pathlib import Path

import pytest

from refocal.serving.settings import Settings, read_settings


def test_each_setting_is_read_from_its_variable(tmp_path: Path) -> None:
    models = tmp_path / "static/models/models.json"
    models.parent.mkdir(parents=True)
    models.write_text("{}")
    told = {"MODEL": "m.onnx", "TOKEN": "t", "CORS": "https://a.example", "MAX_BYTES": "10", "MAX_BATCH_BYTES": "11"}
    told |= {"MAX_PIXELS": "12", "MAX_PHOTOS": "13", "WORKERS": "2", "THREADS": "3", "CONCURRENCY": "4", "AT_ONCE": "5"}
    told |= {"DEPTH_MODEL": "d.onnx", "DEPTH_PRESET": "midas", "DEPTH_SIZE": "8", "DEPTH_MEAN": "0,0,0"}
    told |= {"DEPTH_STD": "1,1,1", "DEPTH_KIND": "depth"}
    told |= {
        "TIMEOUT": "1.5",
        "MAX_WAIT": "2.5",
        "DIR": "/x",
        "CACHE_BYTES": "0",
        "REQUIRE_GPU": "True",
        "JOBS": "6",
        "JOB_DAYS": "0.5",
        "BATCH": "7",
        "ENGINE": "auto",
        "SITE": str(tmp_path),
    }
    settings = read_settings({f"REFOCAL_{name}": value for name, value in told.items()})
    assert {name.upper() for name in vars(settings)} == set(told)
    for field in fields(Settings):
        assert str(getattr(settings, field.name)) == told[field.name.upper()]
    assert isinstance(settings.dir, Path)


def test_what_is_not_set_or_empty_keeps_its_default() -> None:
    assert read_settings({"REFOCAL_JOBS": " ", "OTHER": "1"}) == Settings()


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1e3", "nan"])
def test_an_integer_out_of_range_is_named(value: str) -> None:
    with pytest.raises(ValueError, match="REFOCAL_JOBS must be an integer, more than 0, got"):
        read_settings({"REFOCAL_JOBS": value})


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_number_out_of_range_is_named(value: str) -> None:
    with pytest.raises(ValueError, match="REFOCAL_TIMEOUT must be a number, more than 0, got"):
        read_settings({"REFOCAL_TIMEOUT": value})


def test_the_cores_are_shared_out_among_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert Settings(workers=2).session_threads == 4
    assert Settings(workers=20).session_threads == 1
    assert Settings(workers=2, threads=3).session_threads == 3


def test_an_engine_that_is_none_or_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="REFOCAL_ENGINE must be one of server, browser, auto, got 'gpu'"):
        read_settings({"REFOCAL_ENGINE": "gpu"})
    with pytest.raises(ValueError, match="REFOCAL_ENGINE=browser needs what `make site` writes: there is no"):
        read_settings({"REFOCAL_ENGINE": "browser", "REFOCAL_SITE": str(tmp_path)})

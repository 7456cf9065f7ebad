import json
import math
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.observe.counter import BOUNDS_S
from service.observe.counts import Gauges, Registry
from service.observe.exposition import CONTENT_TYPE, render

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]


def read_metrics(text: bytes) -> Samples:
    samples: Samples = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, "a series may appear once only"
            samples[key] = sample.value
    return samples


def series(name: str, **labels: str) -> tuple[str, Labels]:
    return name, frozenset(labels.items())


def make_registries(directory: Path, slots: Iterable[str]) -> list[Registry]:
    return [Registry(directory, slot) for slot in slots]


def test_the_numbers_of_all_processes_are_summed(tmp_path: Path) -> None:
    own, other = make_registries(tmp_path, ["g0", "g1"])
    for registry in (own, other):
        registry.invocation("e", "v").count(0.25, 0.125)
        registry.invocation("e", "v").count_error(0.5, "ModelError", 5, 0.25)
        registry.count_refusal("ValidationError")
        registry.count_load("m", "loaded", 0.5)
        registry.count_load("m", "failed", 0.25)
        registry.count_eviction("m", "idle")
    other.flush()

    metrics = read_metrics(render(tmp_path, own))

    variant = {"endpoint": "e", "variant": "v"}
    assert metrics[series("sagebird_invocations_total", **variant)] == 4
    assert metrics[series("sagebird_invocation_errors_total", code="ModelError", **variant)] == 2
    assert metrics[series("sagebird_invocation_status_errors_total", status="5xx", **variant)] == 2
    assert metrics[series("sagebird_invocation_model_seconds_total", **variant)] == 0.75
    assert metrics[series("sagebird_refused_requests_total", code="ValidationError")] == 2
    assert metrics[series("sagebird_model_loads_total", model="m", outcome="loaded")] == 2
    assert metrics[series("sagebird_model_loads_total", model="m", outcome="failed")] == 2
    assert metrics[series("sagebird_model_load_seconds_total", model="m")] == 1.5
    assert metrics[series("sagebird_model_evictions_total", model="m", reason="idle")] == 2


def test_an_error_code_is_one_series_whatever_the_status(tmp_path: Path) -> None:
    (own,) = make_registries(tmp_path, ["g0"])
    own.invocation("e", "v").count_error(0.5, "ModelError", 4)
    own.invocation("e", "v").count_error(0.5, "ModelError", 5)
    own.invocation("e", "v").count_error(0.5, "ValidationError", 4)

    metrics = read_metrics(render(tmp_path, own))

    variant = {"endpoint": "e", "variant": "v"}
    assert metrics[series("sagebird_invocation_errors_total", code="ModelError", **variant)] == 2
    assert metrics[series("sagebird_invocation_errors_total", code="ValidationError", **variant)] == 1
    assert metrics[series("sagebird_invocation_status_errors_total", status="4xx", **variant)] == 2
    assert metrics[series("sagebird_invocation_status_errors_total", status="5xx", **variant)] == 1


def test_the_latency_is_a_cumulative_histogram(tmp_path: Path) -> None:
    (own,) = make_registries(tmp_path, ["g0"])
    for duration_s in (0.0005, 0.25, 100.0):
        own.invocation("e", "v").count(duration_s)

    metrics = read_metrics(render(tmp_path, own))

    buckets = {
        float(dict(labels)["le"]): number
        for (name, labels), number in metrics.items()
        if name == "sagebird_invocation_seconds_bucket"
    }
    assert sorted(buckets) == [*BOUNDS_S, math.inf]
    assert (buckets[0.0005], buckets[0.2], buckets[0.5], buckets[60.0], buckets[math.inf]) == (1, 1, 2, 2, 3)
    assert metrics[series("sagebird_invocation_seconds_count", endpoint="e", variant="v")] == 3
    assert metrics[series("sagebird_invocation_seconds_sum", endpoint="e", variant="v")] == 100.2505


def test_families_have_their_types_and_the_format_its_content_type(tmp_path: Path) -> None:
    (own,) = make_registries(tmp_path, ["g0"])

    families = {f.name: f.type for f in text_string_to_metric_families(render(tmp_path, own).decode())}

    assert families["sagebird_invocations"] == "counter"
    assert families["sagebird_invocation_seconds"] == "histogram"
    assert families["sagebird_model_cache_bytes"] == "gauge"
    assert families["sagebird_gateways"] == "gauge"
    assert all(name.startswith("sagebird_") for name in families)
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_gauges_are_summed_over_live_slots_only_but_counts_over_all(tmp_path: Path) -> None:
    registries = make_registries(tmp_path, ["g0", "g1", "dead"])
    for registry in registries:
        registry.watch_gauges(lambda: Gauges(10, 100, 2, 1))
        registry.invocation("e", "v").count(0.25)
        registry.flush()
    path = tmp_path / "dead.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"pid": 2**31 - 1}))  # above the largest id a kernel gives

    metrics = read_metrics(render(tmp_path, registries[0]))

    assert metrics[series("sagebird_model_cache_bytes")] == 20
    assert metrics[series("sagebird_model_cache_budget_bytes")] == 200
    assert metrics[series("sagebird_models_loaded")] == 4
    assert metrics[series("sagebird_requests_in_flight")] == 2
    assert metrics[series("sagebird_gateways")] == 2
    assert metrics[series("sagebird_invocations_total", endpoint="e", variant="v")] == 3


def test_a_slot_restarted_goes_on_counting_and_drops_its_gauges(tmp_path: Path) -> None:
    (first,) = make_registries(tmp_path, ["g0"])
    first.watch_gauges(lambda: Gauges(cache_bytes=10))
    first.invocation("e", "v").count(0.25)
    before = read_metrics(render(tmp_path, first))

    (second,) = make_registries(tmp_path, ["g0"])
    second.invocation("e", "v").count(0.25)
    after = read_metrics(render(tmp_path, second))

    requests, held = (
        series("sagebird_invocations_total", endpoint="e", variant="v"),
        series("sagebird_model_cache_bytes"),
    )
    assert (before[requests], after[requests]) == (1, 2)
    assert (before[held], after[held]) == (10, 0)


def test_what_one_process_showed_another_one_knows(tmp_path: Path) -> None:
    first, second = make_registries(tmp_path, ["g0", "g1"])
    first.invocation("e", "v").count(0.25)

    render(tmp_path, first)

    requests = series("sagebird_invocations_total", endpoint="e", variant="v")
    assert read_metrics(render(tmp_path, second))[requests] == 1


def test_a_disk_that_takes_no_more_still_gets_an_answer_and_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (own,) = make_registries(tmp_path, ["g0"])
    own.invocation("e", "v").count(0.25)
    (tmp_path / "g0.tmp").mkdir()

    metrics = read_metrics(render(tmp_path, own))

    assert metrics[series("sagebird_invocations_total", endpoint="e", variant="v")] == 1
    (record,) = caplog.records
    assert "metrics not written" in record.getMessage()


def test_a_damaged_file_of_another_process_does_not_hide_the_rest(tmp_path: Path) -> None:
    (own,) = make_registries(tmp_path, ["g0"])
    (tmp_path / "g1.json").write_bytes(b"{")

    assert read_metrics(render(tmp_path, own))[series("sagebird_gateways")] == 1


@given(st.text(max_size=20))
def test_any_name_is_one_label_value(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    directory = tmp_path_factory.mktemp("metrics")
    (own,) = make_registries(directory, ["g0"])
    own.count_load(name, "loaded", 1.0)

    metrics = read_metrics(render(directory, own))

    assert metrics[series("sagebird_model_load_seconds_total", model=name)] == 1.0


def test_a_name_that_is_no_utf8_is_shown_escaped(tmp_path: Path) -> None:
    (own,) = make_registries(tmp_path, ["g0"])
    own.count_load("m\udce9", "loaded", 1.0)

    metrics = read_metrics(render(tmp_path, own))

    assert metrics[series("sagebird_model_load_seconds_total", model=r"m\udce9")] == 1.0


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.booleans()), max_size=30))
def test_shown_sums_equal_what_was_counted(
    tmp_path_factory: pytest.TempPathFactory, happened: list[tuple[int, str, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("metrics")
    registries = make_registries(directory, ["g0", "g1", "g2"])
    for i, variant, failed in happened:
        counter = registries[i].invocation("e", variant)
        if failed:
            counter.count_error(0.001, "ModelError", 5)
        else:
            counter.count(0.001)
    for registry in registries:
        registry.flush()

    metrics = read_metrics(render(directory, registries[0]))

    for variant in {variant for _, variant, _ in happened}:
        labels = {"endpoint": "e", "variant": variant}
        counted = [failed for _, v, failed in happened if v == variant]
        assert metrics[series("sagebird_invocations_total", **labels)] == len(counted)
        assert metrics[series("sagebird_invocation_seconds_count", **labels)] == len(counted)
        errors = metrics.get(series("sagebird_invocation_errors_total", code="ModelError", **labels), 0)
        assert errors == sum(counted)


def test_the_status_of_every_endpoint_is_shown_and_of_very_many_those_that_are_not_well(
    tmp_path: Path,
) -> None:
    own = Registry(tmp_path, "gateway-0")
    statuses = {"a": "InService", "b": "Failed"}

    few = read_metrics(render(tmp_path, own, statuses))
    many = read_metrics(render(tmp_path, own, {f"e{n:04}": "InService" for n in range(2000)} | statuses))

    assert few[series("sagebird_endpoints", status="InService")] == 1
    assert few[series("sagebird_endpoints", status="Failed")] == 1
    assert few[series("sagebird_endpoint_status", endpoint="a", status="InService")] == 1
    assert many[series("sagebird_endpoints", status="InService")] == 2001
    assert many[series("sagebird_endpoint_status", endpoint="b", status="Failed")] == 1
    assert sum(name == "sagebird_endpoint_status" for name, _ in many) == 1000

"""Ids of requests: UUIDs, never one twice, whoever asks from wherever."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from service.http.request_ids import request_ids


def test_request_ids_are_uuids_that_never_come_twice() -> None:
    new_id = request_ids()
    found = [new_id() for _ in range(10_000)] + [request_ids()() for _ in range(100)]
    assert len(set(found)) == len(found)
    assert {str(UUID(each)) for each in found} == set(found)
    assert {UUID(each).version for each in found} == {4}


def test_one_source_of_ids_serves_several_threads() -> None:
    new_id = request_ids()
    with ThreadPoolExecutor(4) as threads:
        parts = threads.map(lambda _: [new_id() for _ in range(5_000)], range(4))
        found = [each for part in parts for each in part]
    assert len(set(found)) == len(found) == 20_000

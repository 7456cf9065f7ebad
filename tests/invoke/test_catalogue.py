import asyncio
from typing import Any

from service.hosting.host import Answer, Column, Interface
from service.invoke.catalogue import Catalogue, ExampleRequest, agreed, invent, merge_reports
from service.store.members import GatewayReport, ModelReport
from tests.invoke.conftest import Open


def test_endpoints_are_shown_with_shares_models_and_an_example(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(
                """
                default_endpoint: iris
                endpoints:
                  iris: {variants: {a: {model: iris-logistic, weight: 9}, b: {model: iris-forest}}}
                  all: {variants: {v: {models: ./}}}
                  bad: {variants: {v: {model: broken}}}
                """
            )
            await here.settle()
            catalogue = Catalogue(here.store, here.host, here.models, lambda: here.follower.directory)
            every, bad, iris = catalogue.endpoints()
            assert (every.name, bad.name, iris.name) == ("all", "bad", "iris")
            assert [(v.name, v.share, v.model) for v in iris.variants] == [
                ("a", 0.9, "iris-logistic"),
                ("b", 0.1, "iris-forest"),
            ]
            assert iris.default is True
            assert iris.example is not None
            assert iris.example.body.startswith("5.1,3.5")
            assert every.models == ("broken", "iris-forest", "iris-logistic")
            assert every.variants[0].model == "models/*"
            assert every.example is not None
            assert every.example.target_model == "iris-forest"
            assert bad.status == "Failed"
            assert "cannot be read" in bad.failure_reason
            assert bad.example is None
            states = {card.name: card.state for card in catalogue.models()}
            assert states == {"broken": "failed", "iris-forest": "loaded", "iris-logistic": "loaded"}

    asyncio.run(run())


def test_so_many_endpoints_are_the_first_ones_and_the_default_one(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            here.declare(
                """
                default_endpoint: d
                endpoints:
                  c: {variants: {v: {model: iris-forest}}}
                  d: {variants: {v: {model: iris-forest}}}
                  a: {variants: {v: {model: iris-forest}}}
                  b: {variants: {v: {model: iris-forest}}}
                """
            )
            await here.settle()
            catalogue = Catalogue(here.store, here.host, here.models, lambda: here.follower.directory)
            assert [card.name for card in catalogue.endpoints(2)] == ["a", "d"]
            assert [card.name for card in catalogue.endpoints(9)] == ["a", "b", "c", "d"]
            (example,) = {card.example for card in catalogue.endpoints()}
            assert example is not None

    asyncio.run(run())


def test_models_on_disk_are_shown_before_anything_is_loaded_and_a_lost_folder_breaks_nothing(
    world: Open,
) -> None:
    async def run() -> None:
        async with world() as here:
            catalogue = Catalogue(here.store, here.host, here.models, lambda: here.follower.directory)
            assert {card.state for card in catalogue.models()} == {"on disk"}
            here.declare("endpoints: {e: {variants: {v: {model: broken, lazy: true}}}}")
            await here.settle()
            (here.models / "broken" / "model.joblib").unlink()
            (here.models / "broken").rmdir()
            (card,) = catalogue.endpoints()
            assert (card.models, card.example) == ((), None)

    asyncio.run(run())


def test_reports_of_several_gateways_are_one_card_per_model_and_state() -> None:
    def report(pid: int, state: str, size: int, *notes: str) -> GatewayReport:
        return GatewayReport(str(pid), 1, (), (ModelReport("m", "/m", state, size, "what", notes),))

    cards = merge_reports(
        [report(1, "loaded", 5, "a"), report(2, "loaded", 7, "a", "b"), report(3, "failed", 0)]
    )
    assert [(card.state, card.gateways, card.size_bytes, card.notes) for card in cards] == [
        ("loaded", 2, 7, ("a", "b")),
        ("failed", 1, 0, ()),
    ]


def test_shares_of_huge_weights_are_still_shares(world: Open) -> None:
    async def run() -> None:
        async with world() as here:
            huge = "{model: iris-logistic, weight: 1.7e+308}"
            here.declare(f"endpoints: {{e: {{variants: {{a: {huge}, b: {huge}}}}}}}")
            await here.settle()
            (card,) = Catalogue(
                here.store, here.host, here.models, lambda: here.follower.directory
            ).endpoints()
            assert [variant.share for variant in card.variants] == [0.5, 0.5]

    asyncio.run(run())


def _interface(**members: Any) -> Interface:
    usual: dict[str, Any] = {"scripted": False, "width": 2, "columns": (), "labels": (0, 1), "numbers": False}
    return Interface(**{**usual, "shown": Answer(b"[0]", "application/json"), **members})


def test_variants_that_differ_promise_only_what_all_of_them_keep() -> None:
    one = _interface()
    assert agreed([one, one]) == one
    assert agreed([one, _interface(labels=("a",))]) == _interface(labels=(), shown=None)
    assert agreed([one, _interface(labels=(), numbers=True)]) == _interface(labels=(), shown=None)
    assert agreed([one, _interface(width=3)]) == _interface(width=None)
    assert agreed([one, _interface(scripted=True)]) is None
    assert agreed([one, None]) is None
    assert agreed([None]) is None


def test_a_request_is_made_up_of_what_a_model_tells() -> None:
    assert invent(_interface()) == ExampleRequest("0.0,0.0", "text/csv")
    assert invent(_interface(texts=True)) == ExampleRequest("Any text will do.", "text/plain")
    columns = (Column("size", text=True, words=("l", "s")), Column("speed"), Column("town", text=True))
    made = invent(_interface(columns=columns, width=3))
    assert made == ExampleRequest('[{"size": "l", "speed": 0.0, "town": ""}]', "application/json")
    assert invent(_interface(width=None)) is None
    assert invent(_interface(scripted=True)) is None
    assert invent(None) is None

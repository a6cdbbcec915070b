import asyncio
from collections.abc import Coroutine
from typing import Any

from dna_ray.distributed.docket import Docket

SOON = 0.01


def run(conversation: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(conversation)


def test_letters_are_taken_in_order_and_come_back_with_their_answers():
    async def conversation() -> None:
        docket = Docket(["errand"])
        assert await docket.errand() == "errand"
        await docket.put(0, b"a")
        await docket.put(1, b"b")
        assert await docket.take("one") == (0, b"a")
        assert await docket.take("two") == (1, b"b")
        await docket.give("two", 1, b"B")
        await docket.give("one", 0, b"A")
        assert await docket.back(SOON) == [(1, b"B"), (0, b"A")]
        assert await docket.back(SOON) == []

    run(conversation())


def test_who_finds_nothing_asks_again_until_it_is_closed():
    async def conversation() -> None:
        docket = Docket([None])
        assert await docket.take("one") is True
        await docket.put(0, b"a")
        await docket.close()
        assert await docket.take("one") is False

    run(conversation())


def test_the_driver_hears_of_what_was_lost_and_late_answers_are_dropped():
    async def conversation() -> None:
        docket = Docket([None])
        await docket.put(7, b"a")
        await docket.take("one")
        await docket.lose("one")
        await docket.lose("two")
        assert await docket.back(SOON) == [(7, None), (None, None)]
        await docket.give("one", 7, b"A")
        assert await docket.back(SOON) == []

    run(conversation())


def test_an_evaluator_that_starts_anew_has_lost_what_it_held():
    async def conversation() -> None:
        docket = Docket([None])
        await docket.put(7, b"a")
        await docket.take("one")
        assert await docket.take("one") is True
        assert await docket.back(SOON) == [(7, None)]

    run(conversation())


def test_the_driver_waits_for_news():
    async def conversation() -> list[tuple[int | None, bytes | None]]:
        docket = Docket([None])
        waiting = asyncio.create_task(docket.back(60.0))
        await asyncio.sleep(0)
        await docket.lose("one")
        return await waiting

    assert run(conversation()) == [(None, None)]

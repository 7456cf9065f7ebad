"""Room for connections: who is refused, and who yields."""

from service.http.connections import Crowd


class Busy:
    """A connection that cannot be missed."""

    def __init__(self, connections: set["Busy"]) -> None:
        self._connections = connections

    def dispensable(self, _now_s: float) -> tuple[int, float] | None:
        """It is busy."""

    def yield_place(self) -> None:
        """It was refused, and goes."""
        self._connections.discard(self)


def test_who_was_refused_and_is_gone_makes_no_room_for_others() -> None:
    crowd, connections = Crowd(), set[Busy]()
    come = [Busy(connections) for _ in range(7)]

    admitted = [crowd.admits(each, connections, 2, 0.0) for each in come[:5]]
    connections.discard(come[3])  # not the oldest of those that were refused
    later = [crowd.admits(each, connections, 2, 0.0) for each in come[5:]]

    assert admitted == [True, True, False, False, False]
    assert later == [False, False]


def test_of_those_that_were_refused_few_are_there_and_the_oldest_go_first() -> None:
    crowd, connections = Crowd(), set[Busy]()
    come = [Busy(connections) for _ in range(60)]

    admitted = [crowd.admits(each, connections, 2, 0.0) for each in come]

    assert admitted == [True, True, *[False] * 58]
    assert connections == {*come[:2], *come[-17:]}


class Over(Busy):
    """A connection that is closed in any case."""

    def dispensable(self, _now_s: float) -> tuple[int, float]:
        """It can be missed best."""
        return 0, 0.0


def test_nobody_comes_in_place_of_one_that_was_refused() -> None:
    crowd, connections = Crowd(), set[Busy]()
    come = [Busy(connections), Busy(connections), *(Over(connections) for _ in range(5))]

    admitted = [crowd.admits(each, connections, 2, float(number)) for number, each in enumerate(come)]

    assert admitted == [True, True, *[False] * 5]
    assert connections == {*come}


def test_who_is_over_makes_room_for_one() -> None:
    crowd, connections = Crowd(), set[Busy]()
    come = [Over(connections), *(Busy(connections) for _ in range(3))]

    admitted = [crowd.admits(each, connections, 2, float(number)) for number, each in enumerate(come)]

    assert admitted == [True, True, True, False]
    assert connections == {*come[1:]}

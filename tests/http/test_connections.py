"""Room for connections: who is refused, and who yields."""

from service.http.connections import Crowd


class Busy:
    """A connection that cannot be missed."""

    def __init__(self, connections: set["Busy"]) -> None:
        self._connections = connections

    def dispensable(self, _now_s: float) -> None:
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

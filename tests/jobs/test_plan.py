from hypothesis import given
from hypothesis import strategies as st

from service.jobs.plan import group_inputs
from service.store.tasks import TaskInput

MB = 2**20


def made(*sizes: int) -> list[TaskInput]:
    return [TaskInput(str(number), str(number), size) for number, size in enumerate(sizes)]


@given(st.lists(st.integers(0, 2**33), max_size=600))
def test_every_input_is_in_one_group_and_their_order_stays(sizes: list[int]) -> None:
    inputs = made(*sizes)

    groups = list(group_inputs(inputs))

    assert [one for group in groups for one in group] == inputs
    assert all(groups)


def test_big_files_have_a_task_each_and_small_ones_share() -> None:
    assert [len(group) for group in group_inputs(made(*[MB * 100] * 5))] == [1] * 5
    assert [len(group) for group in group_inputs(made(*[10] * 1280))] == [20] * 64


def test_a_hundred_thousand_files_are_a_few_hundred_tasks() -> None:
    groups = list(group_inputs(made(*[100] * 100_000)))

    assert len(groups) == 400
    assert max(map(len, groups)) == 250

"""How an input is cut into batches of whole records."""

from itertools import pairwise
from pathlib import Path

import pytest

from service.domain.transform.options import MEGABYTE, ContainerParameters, TransformOptions
from service.jobs.inputs import Input, cut
from service.jobs.process import Profile, Spans
from service.objects.resolver import shared_folder

BLOCKS = Profile("a model", as_blocks=True, parameters=ContainerParameters())
ROW = b"0.25,0.5,0.75\n"


@pytest.mark.parametrize(
    ("size_mb", "max_payload_in_mb", "block_mb"),
    [(1, None, 1), (64, None, 1), (100, None, 1.5625), (256, None, 4), (10_000, None, 4), (10_000, 2, 2)],
)
def test_blocks_grow_with_their_file(
    tmp_path: Path, size_mb: int, max_payload_in_mb: int | None, block_mb: float
) -> None:
    """The size that the listing gave decides; what is read here is as much as a test needs."""
    path = tmp_path / "rows.csv"
    path.write_bytes(ROW * (9 * MEGABYTE // len(ROW)))
    folder = shared_folder(tmp_path)
    given = Input("rows.csv", folder / "rows.csv", size_mb * MEGABYTE, folder / "rows.csv.out")
    options = TransformOptions(
        content_type="text/csv", split_type="Line", max_payload_in_mb=max_payload_in_mb
    )

    blocks = [batch for batch in cut(given, options, BLOCKS, remote=False) if isinstance(batch, Spans)]

    assert sum(block.size_bytes for block in blocks) == path.stat().st_size
    assert all(one.offset + one.size_bytes == next_one.offset for one, next_one in pairwise(blocks))
    assert all(block.size_bytes % len(ROW) == 0 for block in blocks)
    assert all(0 <= block_mb * MEGABYTE - block.size_bytes < len(ROW) for block in blocks[:-1])

"""What is done for each byte and each node, in C: reading rows of numbers and words, and walking trees.

It is built where there is a C compiler when sagebird is installed; `kernels` is None elsewhere. Every room
that uses it has a way of its own beside it, in numpy, which gives the same bytes and is slower.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

kernels: "ModuleType | None"
try:
    from service.native import _kernels as kernels
except ImportError:  # it was not built, or for another Python
    kernels = None


_EXACT_BELOW_ONE = -27
"""From here up a product with the reciprocal that was rounded up is exact where it has to be."""


def _power_of_five(power: int) -> tuple[int, int]:
    """The 128 leading bits of a power of five, as two words.

    Source: Lemire 2021, "Number Parsing at a Gigabyte per Second", section 5.
    """
    whole = 5 ** abs(power)
    if power >= 0:
        bits = whole << 128 >> whole.bit_length()
    else:
        bits = (1 << whole.bit_length() + 127) // whole + (power >= _EXACT_BELOW_ONE)
    return bits >> 64, bits & (1 << 64) - 1


if kernels is not None:
    kernels.know_powers(
        [
            word
            for power in range(kernels.LEAST_POWER, kernels.MOST_POWER + 1)
            for word in _power_of_five(power)
        ]
    )

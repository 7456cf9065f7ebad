"""What a model asks of its environment, and whether the server's own has it.

A requirements.txt beside its script, and a container image whose tag names a version. What AWS's image has
besides goes with it: in versions of the time of its scikit-learn, since newer ones would not be understood.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import Specifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from service.domain.image import framework_of
from service.hosting.artifacts.requirements import lacking, read_requirements

_SKLEARN: Final = "scikit-learn"
_BASE: Final = (_SKLEARN, "numpy", "scipy", "pandas", "joblib")
_PATCHES: Final = 5

# From scikit-learn's minor version on: what is newer than these was never tried with it, or breaks it.
_LIMITS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "1.7": {"numpy": "<2.4", "scipy": "<1.17", "pandas": "<3"},
        "1.6": {"numpy": "<2.3", "scipy": "<1.16", "pandas": "<3"},
        "1.5": {"numpy": "<2.2", "scipy": "<1.15", "pandas": "<3", "joblib": "<1.5"},
        "1.4": {"numpy": "<2", "scipy": "<1.14", "pandas": "<2.3", "joblib": "<1.5"},
        "1.3": {"numpy": "<2", "scipy": "<1.12", "pandas": "<2.2", "joblib": "<1.4"},
        "1.2": {"numpy": "<1.25", "scipy": "<1.11", "pandas": "<2.1", "joblib": "<1.3"},
        "1.1": {"numpy": "<1.24", "scipy": "<1.10", "pandas": "<2", "joblib": "<1.3"},
        "1.0": {"numpy": "<1.24", "scipy": "<1.10", "pandas": "<2", "joblib": "<1.3"},
        "0.24": {"numpy": "<1.22", "scipy": "<1.8", "pandas": "<1.4", "joblib": "<1.2"},
    }
)

# Libraries before a version: what is newer than these was never tried with them, or breaks them.
_OLDER: Final[Sequence[tuple[str, str, Mapping[str, str]]]] = (
    ("onnxruntime", "1.19", MappingProxyType({"numpy": "<2"})),
    ("catboost", "1.2.8", MappingProxyType({"numpy": "<2"})),
    ("torch", "2.3", MappingProxyType({"numpy": "<2"})),
)
_SAME: Final = "-cpu"  # behind a name, for the same without what a graphics card needs


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """An environment that somebody asks for.

    `packages` are installed with what `file` names, if there is one; `texts` is all that it says, and `shown`
    says who asks. What is equal in packages and texts is one environment; `version` keeps those apart that
    name files of which the texts do not tell, "" for the rest.
    """

    packages: tuple[str, ...]
    file: Path | None = None
    texts: tuple[str, ...] = ()
    version: str = ""
    shown: str = ""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal where the same environment is asked for."""
        return self.texts, self.packages, self.version


def what_is_lacking(file: Path | None, image: str, version: str) -> EnvironmentSpec | None:
    """What a model asks for that the server's own environment has not; None where that will do.

    `file` is its requirements.txt; `image` is "" where no version is taken from it; `version` changes with
    the model's files. Raises ModelFailure for a file that cannot be read.
    """
    given = None if file is None else read_requirements(file)
    in_file = () if given is None else given.needed
    framework = framework_of(image)
    in_image = (
        () if framework is None or _names(in_file, framework[0]) else (Requirement("".join(framework)),)
    )
    needed = (*in_file, *in_image)
    if (given is None or given.plain) and not lacking(needed):
        return None
    packages = (*_packages(needed, in_file), *(str(each) for each in in_image if each.name not in _BASE))
    if given is None:
        return EnvironmentSpec(packages, shown=f"{needed[0]} (of the image {image.rpartition('/')[2]})")
    return EnvironmentSpec(packages, given.file, given.texts, "" if given.plain else version, given.shown)


def _names(needed: Sequence[Requirement], name: str) -> bool:
    return any(canonicalize_name(each.name) == name for each in needed)


def _packages(needed: Sequence[Requirement], in_file: Sequence[Requirement]) -> tuple[str, ...]:
    """What AWS's image has, as far as the file does not name it itself."""
    asked = [each.specifier for each in needed if canonicalize_name(each.name) == _SKLEARN]
    here, older = metadata.version(_SKLEARN), _older(needed)
    if not asked:  # as it was trained here, if what else is asked for knows that
        asked = [SpecifierSet(older.get(_SKLEARN, f"=={here}"))]
    limits = {} if all(each.contains(here, prereleases=True) for each in asked) else _limits(asked)
    versions = {**older, _SKLEARN: str(asked[0]), **limits}
    return tuple(f"{name}{versions.get(name, '')}" for name in _BASE if not _names(in_file, name))


def _limits(asked: Sequence[SpecifierSet]) -> Mapping[str, str]:
    """Those of the newest scikit-learn that is asked for."""
    for minor, limits in _LIMITS.items():
        if any(all(each.contains(f"{minor}.{patch}") for each in asked) for patch in range(_PATCHES)):
            return limits
    return {}


def _older(needed: Sequence[Requirement]) -> Mapping[str, str]:
    """What old libraries among them want of others."""
    found: dict[str, str] = {}
    for name, first, limits in _OLDER:
        for each in needed:
            same = canonicalize_name(each.name).removesuffix(_SAME) == name
            if same and any(_is_before(one, Version(first)) for one in each.specifier):
                found |= limits
    return found


def _is_before(asked: Specifier, first: Version) -> bool:
    """Whether only versions before that one are asked for."""
    try:
        version = Version(asked.version.removesuffix(".*"))
    except InvalidVersion:
        return False
    return (
        version < first
        if asked.operator in ("==", "~=", "===", "<=")
        else asked.operator == "<" and version <= first
    )

"""Why a model that AWS would run can never run here, one sentence each; all of them are ours."""

from typing import Final

_STANDS_IN: Final = (
    "sagebird/sklearn and AWS's images of scikit-learn, XGBoost and PyTorch "
    "(…/sagemaker-scikit-learn:VERSION, …/sagemaker-xgboost:VERSION, …/pytorch-inference:VERSION)"
)


def image_cannot_run(image: str) -> str:
    """The built-in runtimes stand in for some images; any other needs a container of its own."""
    return (
        f"the image {image} cannot run here: sagebird runs {_STANDS_IN}, and any other where Docker is and "
        "SAGEBIRD_IMAGES is not off."
    )


def image_needs_engine(image: str, why: str) -> str:
    """The same where nobody runs containers, and why."""
    return (
        f"the image {image} cannot run here: it needs a Docker engine, and {why}; without one sagebird runs "
        f"{_STANDS_IN}."
    )


def image_is_missing(image: str) -> str:
    """The same where the engine lacks it, which is not asked to fetch it."""
    return (
        f"the image {image} cannot run here: the Docker engine does not have it, which `docker pull {image}` "
        f"or SAGEBIRD_IMAGES=pull would mend; without Docker sagebird runs {_STANDS_IN}."
    )


def image_cannot_be_pulled(image: str, why: str) -> str:
    """The same where it was asked."""
    return (
        f"the image {image} cannot run here: the Docker engine could not pull it ({why}), "
        f"`docker pull {image}` may after a login; without Docker sagebird runs {_STANDS_IN}."
    )


def no_name_of_an_image(image: str) -> str:
    """Docker's names have no such sign; ours begins a pinned image's id with it."""
    return f"the image {image} cannot run here: no image has a name with # in it."


def image_has_one_model(image: str) -> str:
    """Multi-model containers load models when they are told to, which nobody here does."""
    return f"the image {image} cannot serve many models here: make a model of each archive."


def no_image() -> str:
    """A model package names its image at AWS, where nothing is looked up."""
    return "a model package cannot run here: name an Image (sagebird/sklearn) and where the model's data is."


def no_model_data() -> str:
    """AWS lets an image bring its model along; the built-in runtime has none of its own."""
    return "the model has no data: name its archive or folder as ModelDataUrl or ModelDataSource."


def components_cannot_run() -> str:
    """AWS's variants without a model are filled by inference components (contract C.8)."""
    return "inference components cannot run here yet: name a model."


def many_models_cannot_transform() -> str:
    """Ours; AWS takes no multi-model in a batch either."""
    return "a multi-model cannot be transformed with: make a model of the one archive that you mean."


def direct_cannot_transform() -> str:
    """Ours; a job has no place for the name of the container that it means."""
    return (
        "containers that are called directly cannot be transformed with: make a model of the one that you "
        "mean."
    )


def of_container(name: str, reason: str) -> str:
    """The same of one container of several."""
    return f"{name}: {reason}"

"""Why a model that AWS would run can never run here, one sentence each; all of them are ours."""


def image_cannot_run(image: str) -> str:
    """The built-in runtime stands in for these images only; any other would need its own container."""
    return (
        f"the image {image} cannot run here: sagebird runs sagebird/sklearn and AWS's images of "
        "scikit-learn, XGBoost and PyTorch (…/sagemaker-scikit-learn:VERSION, …/sagemaker-xgboost:VERSION, "
        "…/pytorch-inference:VERSION)."
    )


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

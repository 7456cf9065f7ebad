import pytest

from service.domain.image import BUILT_IN, framework_of, is_xgboost, resolved_image, runs_here


@pytest.mark.parametrize(
    "image",
    [
        BUILT_IN,
        "sagebird/sklearn:latest",
        "ghcr.io/sagebird/sklearn:1",
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
        "662702820516.dkr.ecr.eu-north-1.amazonaws.com/sagemaker-scikit-learn@sha256:0123",
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.17.2",
        "mlflow-pyfunc",
    ],
)
def test_scikit_learn_images_run_in_the_built_in_runtime(image: str) -> None:
    assert runs_here(image)


@pytest.mark.parametrize(
    ("image", "xgboost"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", True),
        ("sagemaker-xgboost:1.7-1", True),
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", True),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.1-cpu-py310", False),
        ("520713654638.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-pytorch:1.1.0-cpu-py3", False),
        (BUILT_IN, False),
    ],
)
def test_images_of_other_frameworks_run_too(image: str, xgboost: bool) -> None:
    assert runs_here(image)
    assert is_xgboost(image) == xgboost


@pytest.mark.parametrize(
    "image",
    [
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.1-cpu-py310",
        "pytorch-inference:2.1",
        "xgboost:1",
        "my-sagemaker-scikit-learn-fork:1",
        "sagemaker-scikit-learn/other",
        "",
    ],
)
def test_other_images_do_not(image: str) -> None:
    assert not runs_here(image)


def test_a_resolved_image_has_a_digest_in_place_of_its_tag() -> None:
    one = resolved_image("host:5000/a/sagemaker-scikit-learn:1.2")
    other = resolved_image("host:5000/a/sagemaker-scikit-learn:1.3")

    assert one.startswith("host:5000/a/sagemaker-scikit-learn@sha256:")
    assert len(one.rpartition(":")[2]) == 64
    assert one != other
    assert resolved_image("a/b@sha256:12").startswith("a/b@sha256:")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "==1.2.*"),
        ("sagemaker-scikit-learn:0.20.0-cpu-py3", "==0.20.0"),
        ("host:5000/sagemaker-scikit-learn:1.4-2", "==1.4.*"),
        ("sagemaker-scikit-learn:1.0", "==1.0.*"),
    ],
)
def test_the_tag_of_an_image_of_aws_names_a_version(image: str, version: str) -> None:
    assert framework_of(image) == ("scikit-learn", version)


def test_images_of_other_frameworks_name_versions_too() -> None:
    assert framework_of("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1") == (
        "xgboost",
        "==1.7.*",
    )
    assert framework_of("a.amazonaws.com/pytorch-inference:2.1.0-cpu-py310") == ("torch", "==2.1.0")


@pytest.mark.parametrize(
    "image",
    [
        BUILT_IN,
        f"{BUILT_IN}:1.2-1",
        "sagemaker-scikit-learn",
        "sagemaker-scikit-learn:latest",
        "sagemaker-scikit-learn:1.2b-1",
        "my-sagemaker-scikit-learn:1.2-1",
        "host:5000/other:1.2-1",
        "",
    ],
)
def test_other_images_name_none(image: str) -> None:
    assert framework_of(image) is None

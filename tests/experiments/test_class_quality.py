"""Figures of predicted classes and numbers, held against scikit-learn's on the same 5,000 pairs."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from service.experiments.class_quality import MOST_SCORES, ClassQuality, Ranks
from service.experiments.number_quality import NumberQuality

_PAIRS = 5_000


def made(classes: int, seed: int = 0) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Labels, and probabilities that know something of them, with many ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, _PAIRS)
    scores = random.dirichlet(np.ones(classes), _PAIRS) + 0.5 * np.eye(classes)[labels]
    scores = np.round(scores / scores.sum(axis=1, keepdims=True), 3)
    return [f"class {label}" for label in labels], scores / scores.sum(axis=1, keepdims=True)


def counted(
    names: tuple[str, ...], labels: list[str], scores: np.ndarray[Any, Any], parts: int = 1
) -> ClassQuality:
    """The quality as so many processes see it together."""
    whole = ClassQuality(names)
    for part in range(parts):
        quality = ClassQuality(names)
        for label, row in list(zip(labels, scores.tolist(), strict=True))[part::parts]:
            quality.add(label, names[row.index(max(row))], row)
        whole.merge(quality)
    return whole


@pytest.mark.parametrize("parts", [1, 3])
def test_two_classes_are_as_in_scikit_learn(parts: int) -> None:
    labels, scores = made(2)
    names = ("class 0", "class 1")
    predicted = [names[row.argmax()] for row in scores]

    document = counted(names, labels, scores, parts).document()

    positive = document["classes"]["class 1"]
    truth = np.array(labels) == "class 1"
    true_negatives, false_positives, false_negatives, true_positives = metrics.confusion_matrix(
        labels, predicted
    ).ravel()
    assert positive["true_positives"] == true_positives
    assert positive["false_positives"] == false_positives
    assert positive["true_negatives"] == true_negatives
    assert positive["false_negatives"] == false_negatives
    for name, figure in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert positive[name] == pytest.approx(figure(labels, predicted, pos_label="class 1"), abs=1e-12)
    assert document["positive"] == "class 1"
    assert document["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert document["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, scores[:, 1]), abs=1e-12)
    assert document["log_loss"] == pytest.approx(metrics.log_loss(labels, scores), abs=1e-12)
    shares, chances = calibration_curve(truth, scores[:, 1], n_bins=10)
    assert [row["share"] for row in document["calibration"]] == pytest.approx(list(shares))
    assert [row["mean_score"] for row in document["calibration"]] == pytest.approx(list(chances))


@pytest.mark.parametrize("classes", [3, 7])
def test_more_classes_are_as_in_scikit_learn(classes: int) -> None:
    labels, scores = made(classes)
    names = tuple(f"class {number}" for number in range(classes))
    predicted = [names[row.argmax()] for row in scores]

    document = counted(names, labels, scores, 2).document()

    matrix = metrics.confusion_matrix(labels, predicted, labels=names)
    found = {(each["label"], each["predicted"]): each["count"] for each in document["confusion"]}
    assert [[found.get((label, said), 0) for said in names] for label in names] == matrix.tolist()
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, predicted, labels=names)
    for number, name in enumerate(names):
        of = document["classes"][name]
        assert (of["precision"], of["recall"], of["f1"]) == pytest.approx(
            (precision[number], recall[number], f1[number])
        )
    assert document["macro"]["f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    area = metrics.roc_auc_score(labels, scores, multi_class="ovr", labels=names)
    assert document["roc_auc"] == pytest.approx(area, abs=1e-12)
    assert document["log_loss"] == pytest.approx(metrics.log_loss(labels, scores, labels=names), abs=1e-12)
    assert document["positive"] is None
    assert json.loads(json.dumps(document)) == document


def test_without_scores_there_is_no_curve() -> None:
    quality = ClassQuality(("no", "yes"))
    quality.add("yes", "yes", None)
    quality.add("no", "perhaps", None)

    document = quality.document()

    assert document["accuracy"] == 0.5
    assert document["classes"]["perhaps"]["false_positives"] == 1
    assert [document[name] for name in ("roc_auc", "log_loss", "calibration_error")] == [None] * 3
    assert document["calibration"] == []
    assert ClassQuality(("no", "yes")).document()["accuracy"] is None


def test_a_label_that_no_prediction_knows_has_no_score() -> None:
    quality = ClassQuality(("no", "yes"))
    quality.add("perhaps", "yes", (0.2, 0.8))

    assert quality.scored == 0
    assert quality.document()["accuracy"] == 0.0


def test_very_many_scores_are_kept_to_four_decimals() -> None:
    random = np.random.default_rng(1)
    scores, labels = random.random(30_000), random.random(30_000)
    ranks, other = Ranks(), Ranks()
    for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
        ranks.add(score, label < score)
    other.add(0.12345678, True)
    other.merge(ranks)

    assert len(ranks.counts) <= MOST_SCORES + 1
    assert ranks.area() == pytest.approx(metrics.roc_auc_score(labels < scores, scores), abs=1e-4)
    assert other.rounded
    assert 0.1235 in other.counts


def test_numbers_are_as_in_scikit_learn() -> None:
    random = np.random.default_rng(2)
    labels = random.normal(100, 15, _PAIRS)
    predicted = labels + random.normal(1, 5, _PAIRS)
    whole = NumberQuality()
    for part in range(3):
        quality = NumberQuality()
        for label, number in zip(labels.tolist()[part::3], predicted.tolist()[part::3], strict=True):
            quality.add(label, number)
        whole.merge(quality)

    document = whole.document()

    assert document["mean_absolute_error"] == pytest.approx(metrics.mean_absolute_error(labels, predicted))
    assert document["root_mean_squared_error"] == pytest.approx(
        metrics.root_mean_squared_error(labels, predicted)
    )
    assert document["r2"] == pytest.approx(metrics.r2_score(labels, predicted))
    assert document["mean_error"] == pytest.approx(float((predicted - labels).mean()))


def test_numbers_that_are_not_there_have_no_figures() -> None:
    assert set(NumberQuality().document().values()) == {0, None}
    one = NumberQuality()
    one.add(1.0, 2.0)
    assert one.document()["r2"] is None

"""What models are given of bodies with words: the same as a data frame that pandas would have read."""

import io
import json
import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from service.errors import BadPayload, UnsupportedContentType
from service.hosting.host import Call
from service.hosting.runtimes.columns import DType, columns_of
from service.hosting.runtimes.flavour import FlavourModel
from service.hosting.runtimes.sklearn import SklearnModel

CSV, JSON, LINES, NPY, TEXT = (
    "text/csv",
    "application/json",
    "application/jsonlines",
    "application/x-npy",
    "text/plain",
)
TABLE = pd.DataFrame(
    {
        "age": [20, 30, 40, 50],
        "city": ["Berlin", "Rome", "Berlin", "Paris, centre"],
        "plan": ["free", "pro", "pro", "free"],
        "postcode": ["01234", "1234", "01234", "7"],
        "member": [True, False, True, False],
        "note": ["good film", "bad film", "good day", "bad day"],
    }
)
WORDS = ["city", "plan", "postcode"]


@cache
def model(strict: bool = False) -> FlavourModel:
    """A regression on every kind of column, so that each cell shows in the answer."""
    columns = make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"),
                OneHotEncoder(handle_unknown="error" if strict else "ignore"),
            ),
            WORDS,
        ),
        (OneHotEncoder(handle_unknown="ignore"), ["member"]),
        (CountVectorizer(), "note"),
        (SimpleImputer(), ["age"]),
        remainder="passthrough",
        sparse_threshold=0,
    )
    return served(
        make_pipeline(columns, DecisionTreeRegressor(random_state=0)).fit(TABLE, [1.0, 2.0, 3.0, 4.0])
    )


def served(estimator: Any) -> FlavourModel:
    return FlavourModel(SklearnModel(estimator), 0, JSON, None)


def answer(served_model: FlavourModel, body: str | bytes, content_type: str | None = CSV) -> Any:
    sent = body.encode() if isinstance(body, str) else body
    return json.loads(served_model.answer(Call(sent, content_type, JSON)).body)


def refusal(served_model: FlavourModel, body: str | bytes, content_type: str | None = CSV) -> str:
    with pytest.raises(BadPayload) as caught:
        answer(served_model, body, content_type)
    return caught.value.message


def texts() -> Any:
    words = ["good film", "bad film", "good day", "bad day", "great film", "awful day"]
    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(words, [1, 0, 1, 0, 1, 0])


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values), allow_pickle=False)
    return buffer.getvalue()


# ---- frames that pandas split


def test_a_split_frame_is_answered_like_its_records_in_whichever_order_its_columns_are() -> None:
    records = json.dumps(json.loads(TABLE.to_json(orient="records")))
    expected = answer(model(), records, JSON)
    assert expected == [1.0, 2.0, 3.0, 4.0]

    for names in (list(TABLE.columns), sorted(TABLE.columns)):
        frame = json.loads(TABLE[names].to_json(orient="split"))
        assert answer(model(), json.dumps({"dataframe_split": frame}), JSON) == expected
        del frame["index"]
        assert answer(model(), json.dumps({"dataframe_split": frame}), JSON) == expected


def test_names_of_a_split_frame_have_to_be_the_models() -> None:
    frame = json.loads(TABLE.rename(columns={"city": "town"}).to_json(orient="split"))

    told = refusal(model(), json.dumps({"dataframe_split": frame}), JSON)

    assert told.startswith("the table lacks the column 'city'; the model's columns are age, city, plan, ")


def test_numbers_of_a_split_frame_go_to_the_columns_of_their_names() -> None:
    numbers = pd.DataFrame({"b": [1.0, 2.0, 3.0], "a": [0.0, 0.0, 9.0]})
    named = served(DecisionTreeRegressor(random_state=0).fit(numbers, [1.0, 2.0, 3.0]))
    unnamed = served(DecisionTreeRegressor(random_state=0).fit(numbers.to_numpy(), [1.0, 2.0, 3.0]))

    body = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[0, 2], [9, 3]]}})
    assert answer(named, body, JSON) == [2.0, 3.0]
    assert answer(unnamed, body, JSON) == answer(unnamed, "[[0, 2], [9, 3]]", JSON)  # it knows no names


# ---- CSV with words is the frame that pandas reads


def test_each_column_is_known_by_what_it_was_fitted_with() -> None:
    found = columns_of(model().predictor.estimator, 6)
    kinds = [
        DType.NUMBER,
        DType.WORD,
        DType.WORD,
        DType.WORD,
        DType.TRUTH,
        DType.TEXT,
    ]
    assert [column.kind for column in found] == kinds
    assert found[3].known == {"01234", "1234", "7"}


AGES = st.one_of(
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.just(math.nan),
)
CELLS = st.one_of(
    st.sampled_from([*TABLE.city, "NA", "None", "7", "true", ' ", ', "a\nb", "x\r\ny", "ü", "", "=1+1"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
)
ROWS = st.lists(
    st.tuples(
        AGES,
        CELLS,
        st.sampled_from(["free", "pro", "none"]),
        st.sampled_from(["01234", "1234", "7", "", "0"]),
        st.booleans(),
        CELLS,
    ),
    min_size=1,
    max_size=5,
)


def as_pandas_reads(text: str, *, header: bool) -> pd.DataFrame:
    """As somebody would who knows the columns; the training saw words in these."""
    spelled: dict[str, Any] = dict.fromkeys(WORDS, object) | {"note": object, "member": bool}
    names = None if header else list(TABLE.columns)
    frame = pd.read_csv(
        io.StringIO(text, newline=""), names=names, header=0 if header else None, dtype=spelled
    )
    return frame[list(TABLE.columns)].assign(note=frame["note"].where(frame["note"].notna(), ""))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.permutations(list(TABLE.columns)), st.booleans())
def test_csv_with_words_is_the_frame_that_pandas_reads(
    rows: list[Any], order: list[str], header: bool
) -> None:
    frame = pd.DataFrame(rows, columns=list(TABLE.columns))
    sent = frame[order] if header else frame
    text = sent.to_csv(index=False, header=header, lineterminator="\n")
    expected = model().predictor.estimator.predict(as_pandas_reads(text, header=header))
    assert answer(model(), text) == expected.tolist()
    assert answer(model(), text, f"text/csv; header={'present' if header else 'absent'}") == expected.tolist()


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_json_with_words_is_the_same_in_every_form(rows: list[Any]) -> None:
    frame = pd.DataFrame(rows, columns=list(TABLE.columns)).astype(dict.fromkeys([*WORDS, "note"], object))
    expected = model().predictor.estimator.predict(frame).tolist()
    plain = [[None if cell != cell else cell for cell in row] for row in rows]
    records = [dict(zip(TABLE.columns, row, strict=True)) for row in plain]
    assert answer(model(), json.dumps(plain), JSON) == expected
    assert answer(model(), json.dumps({"instances": plain}), JSON) == expected
    assert answer(model(), "\n".join(map(json.dumps, plain)), LINES) == expected
    assert answer(model(), json.dumps(records), JSON) == expected
    assert answer(model(), "\n".join(map(json.dumps, records)), LINES) == expected


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('50,"Paris, centre",free,7,False,bad day\n', CSV),
        ('50,"Paris, centre",free,7,false,bad day\r\n', "text/csv; charset=utf-8"),
        ('note,age,city,member,plan,postcode\nbad day,50,"Paris, centre",False,free,7\n', CSV),
        ('"note","age","city","member","plan","postcode"\r\nbad day,50,"Paris, centre",0,free,7', CSV),
        ('\ufeffage,city,plan,postcode,member,note\n50,"Paris, centre",free,7,FALSE,bad day', CSV),
        ('[50, "Paris, centre", "free", "7", false, "bad day"]', JSON),
        ('[["50", "Paris, centre", "free", 7, false, "bad day"]]', JSON),
        ('{"age":50,"city":"Paris, centre","plan":"free","postcode":7,"member":0,"note":"bad day"}', JSON),
        (npy([["50", "Paris, centre", "free", "7", "False", "bad day"]]), NPY),
    ],
)
def test_the_fourth_row_is_known_however_it_is_sent(body: str | bytes, content_type: str) -> None:
    assert answer(model(), body, content_type) == [4.0]


def test_a_word_that_looks_like_a_number_stays_the_word_that_training_saw() -> None:
    codes = pd.DataFrame({"code": ["01234", "1234", "NA"]})
    words = served(make_pipeline(OrdinalEncoder(), DecisionTreeClassifier()).fit(codes, [1, 2, 3]))
    assert answer(words, "01234\n1234\nNA") == [1, 2, 3]
    numbers = codes.assign(code=[1234, 7, 8])
    known = served(make_pipeline(OrdinalEncoder(), DecisionTreeClassifier()).fit(numbers, [1, 2, 3]))
    assert answer(known, "01234\n7\n8.0") == [1, 2, 3]  # as read_csv reads the training file
    mixed = pd.DataFrame({"code": [True, False, None]}, dtype=object)
    odd = served(make_pipeline(OneHotEncoder(), DecisionTreeClassifier()).fit(mixed, [1, 2, 3]))
    assert answer(odd, "code\nTrue\nFalse\n") == [1, 2]


def test_a_gap_is_what_training_saw_as_one() -> None:
    for gap in (None, math.nan):
        table = pd.DataFrame({"city": pd.Series(["Rome", gap, "Oslo"], dtype=object)})
        learnt = served(make_pipeline(OneHotEncoder(), DecisionTreeClassifier()).fit(table, [1, 2, 3]))
        assert answer(learnt, '[["Rome"],[null]]', JSON) == [1, 2]
        assert answer(learnt, '[{"city":null}]', JSON) == [2]


def test_rows_of_words_without_names_are_known_by_their_places() -> None:
    rows = np.array([["a", "x"], ["b", "x"], ["a", "y"]], dtype=object)
    learnt = served(make_pipeline(OrdinalEncoder(), DecisionTreeClassifier()).fit(rows, [1, 2, 3]))
    for body, kind in (
        ("b,x\na,y", CSV),
        ('[["b","x"],["a","y"]]', JSON),
        (npy([["b", "x"], ["a", "y"]]), NPY),
    ):
        assert answer(learnt, body, kind) == [2, 3]
    assert 'send rows of 2, such as [["a", "x"]]' in refusal(learnt, '[{"a":1}]', JSON)


def test_a_search_and_a_vote_know_the_columns_of_what_is_in_them() -> None:
    inner = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough"),
        DecisionTreeClassifier(random_state=0),
    )
    table, labels = pd.concat([TABLE[["age", "city"]]] * 5), ["a", "b", "c", "d"] * 5
    for outer in (
        GridSearchCV(inner, {"decisiontreeclassifier__max_depth": [5]}, cv=2),
        VotingClassifier([("one", inner), ("two", inner)]),
    ):
        assert answer(served(outer.fit(table, labels)), "city,age\nRome,30") == ["b"]


def test_gradient_boosting_knows_its_categories() -> None:
    table = pd.DataFrame({"city": pd.Categorical(["Rome", "Oslo"] * 20), "age": [1.0, 2.0] * 20})
    learnt = served(HistGradientBoostingClassifier(min_samples_leaf=1).fit(table, [1, 2] * 20))
    assert answer(learnt, "Rome,1\nOslo,2") == [1, 2]
    assert answer(learnt, "age,city\n,Rome\n2,") == answer(learnt, '[["Rome",null],[null,2]]', JSON)


def test_a_function_that_asks_for_names_gets_a_frame() -> None:
    ratio = make_pipeline(FunctionTransformer(_ratio), DecisionTreeClassifier())
    learnt = served(ratio.fit(pd.DataFrame({"up": [1, 4], "down": [2, 1]}), ["low", "high"]))
    assert answer(learnt, "1,2\n4,1") == answer(learnt, "down,up\n2,1\n1,4") == ["low", "high"]
    assert answer(learnt, "[[1,2],[4,1]]", JSON) == ["low", "high"]


def _ratio(frame: pd.DataFrame) -> Any:
    return (frame["up"] / frame["down"]).to_frame()


# ---- headers of models of numbers

NUMBERS = pd.DataFrame({"rooms": [1.0, 2.0, 3.0], "size": [30.0, 50.0, 80.0], "age": [5.0, 9.0, 1.0]})


@cache
def regression() -> FlavourModel:
    return served(make_pipeline(SimpleImputer(), DecisionTreeRegressor()).fit(NUMBERS, [1.0, 2.0, 3.0]))


def test_a_header_may_name_the_columns_of_numbers_in_any_order() -> None:
    rows = "30,5,1\n50,9,2\n" * 4000  # more than the reader of small bodies takes
    assert answer(regression(), f"size,age,rooms\n{rows}") == [1.0, 2.0] * 4000
    assert answer(regression(), "rooms,size,age\n3,80,1") == answer(regression(), "3,80,1") == [3.0]
    assert answer(regression(), "age,size,rooms\n1,,3\n") == answer(regression(), "3,,1")


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (
            "rooms,size\n1,2",
            CSV,
            "the header lacks the column 'age'; the model's columns are rooms, size, age",
        ),
        ("rooms,size,age,id\n1,2,3,4", CSV, "the header has the unknown column 'id'"),
        ("rooms,size,size\n1,2,3", CSV, "the header lacks the column 'age'"),
        ("rooms,size,age,age\n1,2,3,4", CSV, "the header has the column 'age' twice"),
        ("1,2,3", "text/csv; header=present", "the header lacks the column 'rooms'"),
        ("rooms,size,age\n", CSV, "There is no row below the header."),
        ("rooms,size,age\n1,2\n", CSV, "Row 1 has 2 columns, but the header has 3."),
        ("rooms,size,age\n1,x,2\n", CSV, "Row 1, column 2: 'x' is not a number"),
        (
            "a,b,c\n1,2,3",
            CSV,
            "a header row is not accepted unless it holds the model's columns: rooms, size, age",
        ),
        ("rooms,size,age\n1,2,3", "text/csv; header=absent", "Row 1, column 1: 'rooms' is not a number"),
    ],
)
def test_a_wrong_header_is_refused_by_name(body: str, content_type: str, words: str) -> None:
    assert words in refusal(regression(), body, content_type)


def test_names_that_are_numbers_are_a_header_only_if_that_is_said() -> None:
    table = pd.DataFrame([[0.0, 5.0], [1.0, 6.0]], columns=["0", "1"])
    learnt = served(DecisionTreeRegressor().fit(table, [1.0, 2.0]))
    assert answer(learnt, "0,1\n1,6") == [1.0, 2.0]
    assert answer(learnt, "1,0\n6,1", "text/csv; header=present") == [2.0]


def test_a_header_that_is_announced_is_no_row_of_a_model_without_names() -> None:
    learnt = served(DecisionTreeRegressor().fit([[1, 2], [3, 4]], [1.0, 2.0]))
    assert answer(learnt, "a,b\n3,4", "text/csv; header=present") == [2.0]
    assert "leave it out" in refusal(learnt, "a,b\n3,4")
    said = refusal(learnt, "a,b,c\n3,4", "text/csv; header=present")
    assert said == "Row 1 has 2 columns, but the header has 3."
    assert "separated by commas" in refusal(learnt, "3;4")
    assert "separated by commas" in refusal(learnt, "a|b")


# ---- texts


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('["good film", "bad film"]', JSON),
        ('{"instances": ["good film", "bad film"]}', JSON),
        ('[["good film"], ["bad film"]]', JSON),
        ('"good film"\n"bad film"\n', LINES),
        ("good film\nbad film\n", CSV),
        ('"good, film"\n"bad ""film"""\n', CSV),
        (npy(["good film", "bad film"]), NPY),
        (npy([["good film"], ["bad film"]]), NPY),
    ],
)
def test_texts_reach_a_text_model_in_any_form(body: str | bytes, content_type: str) -> None:
    assert answer(served(texts()), body, content_type) == [1, 0]


def test_a_plain_body_is_one_text() -> None:
    learnt = served(texts())
    assert answer(learnt, "good film,\nnot bad\n", TEXT) == [1]
    assert answer(learnt, '"good film"', JSON) == [1]
    assert answer(learnt, "2024") == answer(learnt, '["2024"]', JSON)
    with pytest.raises(UnsupportedContentType):
        answer(regression(), "good", TEXT)


def test_a_table_of_one_text_column_takes_texts_alone() -> None:
    words = make_column_transformer((TfidfVectorizer(), "note"))
    learnt = served(make_pipeline(words, DecisionTreeClassifier()).fit(TABLE[["note"]], [1, 2, 3, 4]))
    for body, kind in (
        ("bad film", TEXT),
        ('["bad film"]', JSON),
        ("note\nbad film", CSV),
        ('"bad film"', CSV),
    ):
        assert answer(learnt, body, kind) == [2]
    assert answer(served(texts()), "text\ngood film", "text/csv; header=present") == [1]


def test_a_long_text_is_read_from_csv() -> None:
    assert answer(served(texts()), '"' + "good film, " * 30_000 + '"') == [1]


def test_records_of_any_names_reach_a_model_of_dicts() -> None:
    learnt = make_pipeline(DictVectorizer(), DecisionTreeClassifier()).fit([{"a": 1}, {"b": "x"}], [1, 2])
    assert answer(served(learnt), '[{"a":1},{"a":0}]', JSON) == learnt.predict([{"a": 1}, {"a": 0}]).tolist()


# ---- refusals name what works


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (
            "old,Rome,pro,7,True,good",
            CSV,
            "Row 1, column 'age': 'old' is not a number; Pipeline takes records such as",
        ),
        ('[[1,"Rome","pro","7",true,null]]', JSON, "Row 1, column 'note': null is not a text"),
        ('[[1,"Rome","pro","7","so","x"]]', JSON, "Row 1, column 'member': 'so' is not true or false"),
        ("1,Rome\n", CSV, "The model's columns are age, city, plan, postcode, member, note."),
        ("1,2,3\n1,2", CSV, "Row 2 has 2 columns, but row 1 has 3."),
        ('{"age":1}', CSV, "A JSON body needs Content-Type: application/json."),
        ("1;Rome;pro;7;True;good", CSV, "Cells of text/csv are separated by commas."),
        ("age,city,plan,postcode,member\n1,Rome,pro,7,True", CSV, "the header lacks the column 'note'"),
        ('1,"Rome', CSV, "Row 1 is no CSV: a quote is opened and never closed."),
        ('[{"age":1}]', JSON, "record 1 lacks the column 'city'; the model's columns are age, city"),
        ('"Rome"', JSON, 'The body is text; Pipeline takes records such as [{"age": 0, "city": "Berlin"'),
    ],
)
def test_what_is_refused_is_named_with_what_would_do(body: str, content_type: str, words: str) -> None:
    assert words in refusal(model(), body, content_type)


def test_a_text_model_says_that_it_takes_texts() -> None:
    learnt = served(texts())
    for body, kind in (
        ("good, film\n", CSV),
        ("[[1, 2]]", JSON),
        ('[{"text": "good"}]', JSON),
        ("[1, 2]", JSON),
        (npy([[1.0, 2.0]]), NPY),
    ):
        assert 'send texts, such as ["a text", "another one"]' in refusal(learnt, body, kind).replace(
            "takes texts", "send texts"
        )


@pytest.mark.parametrize("body", ["5", "null", "true", '{"instances": 5}', '{"instances": null}'])
def test_a_scalar_is_refused_with_the_models_own_form(body: str) -> None:
    assert 'send records such as [{"age": 0, "city": "Berlin"' in refusal(model(), body, JSON)
    assert 'send texts, such as ["a text"' in refusal(served(texts()), body, JSON)


def test_instances_may_be_a_single_record() -> None:
    record = '{"rooms": 3, "size": 80, "age": 1}'
    assert answer(regression(), f'{{"instances": {record}}}', JSON) == [3.0]
    alone = served(DecisionTreeRegressor().fit(pd.DataFrame({"instances": [1.0, 2.0]}), [5.0, 6.0]))
    assert answer(alone, '{"instances": 2}', JSON) == [6.0]


def test_a_text_model_is_told_of_what_is_no_text() -> None:
    for body in ('"good film"\n{"review": "x"}\n', '"good film"\n5\n'):
        assert "send texts, such as" in refusal(served(texts()), body, LINES)
    assert "send texts, such as" in refusal(served(texts()), '["good film", ["bad film"]]', JSON)
    words = make_column_transformer((TfidfVectorizer(), "note"))
    table = served(make_pipeline(words, DecisionTreeClassifier()).fit(TABLE[["note"]], [1, 2, 3, 4]))
    assert "Put a text with commas into double quotes." in refusal(table, "good, film\n")


def test_an_array_of_truth_values_or_bytes_is_read() -> None:
    learnt = served(DecisionTreeRegressor().fit([[0, 1], [1, 0]], [1.0, 2.0]))
    assert answer(learnt, npy([[True, False], [False, True]]), NPY) == [2.0, 1.0]
    assert answer(served(texts()), npy([b"good film", b"bad film"]), NPY) == [1, 0]


def test_a_model_without_names_says_what_its_rows_are() -> None:
    learnt = served(LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1]))
    for body in ('[["red", 1]]', '[{"a": 1, "b": 2}]', '["red", "blue"]'):
        assert "rows of 2, such as [[0, 0]]" in refusal(learnt, body, JSON)


def test_a_gap_is_refused_with_its_place() -> None:
    learnt = served(make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, [0, 1, 1]))
    assert refusal(learnt, "1,2,3\n1,,3") == "Row 2, column 2 is blank."
    assert refusal(learnt, '[{"rooms":1,"size":2,"age":null}]', JSON).startswith("Row 1, column 3 is null.")


def test_a_word_that_an_encoder_refuses_is_named_with_those_it_knows() -> None:
    said = refusal(model(strict=True), "1,Rome,pro,7,True,good\n1,Oslo,pro,7,True,good")
    assert (
        said
        == "Row 2, column 'city': 'Oslo' is none of the words it knows: 'Berlin', 'Paris, centre', 'Rome'."
    )


def strict_cities(cities: list[Any], *steps: Any) -> FlavourModel:
    table = pd.DataFrame({"age": [20, 30, 40], "city": cities})
    columns = make_column_transformer(
        (SimpleImputer(), ["age"]), (make_pipeline(*steps, OneHotEncoder()), ["city"])
    )
    return served(make_pipeline(columns, DecisionTreeClassifier()).fit(table, [1, 2, 3]))


def test_a_gap_that_an_encoder_refuses_is_named_with_the_words_it_knows() -> None:
    learnt = strict_cities(["Berlin", "Rome", "Berlin"])
    told = "which is none of the words it knows: 'Berlin', 'Rome'."
    assert refusal(learnt, "50,Rome\n50,\n") == f"Row 2, column 'city' is blank, {told}"
    assert refusal(learnt, "50,NA") == f"Row 1, column 'city' is blank, {told}"
    assert refusal(learnt, '{"age": 5, "city": null}', JSON) == f"Row 1, column 'city' is null, {told}"
    for fine in (
        strict_cities(["Berlin", "Rome", math.nan]),
        strict_cities(["Berlin", "Rome", "Berlin"], SimpleImputer(strategy="most_frequent")),
    ):
        assert answer(fine, "20,\n")
        assert "'city': 'Oslo' is none" in refusal(fine, "50,\n50,Oslo")


def test_only_what_is_null_is_said_to_be() -> None:
    learnt = served(LogisticRegression().fit(NUMBERS, [0, 1, 1]))
    assert refusal(learnt, '{"rooms":"NaN","size":2,"age":1}', JSON).startswith("Input X contains NaN")
    assert refusal(learnt, '[[1,"NaN",2]]', JSON).startswith("Input X contains NaN")
    assert refusal(learnt, "[[1,null,2]]", JSON) == "Row 1, column 2 is null."


def test_a_constant_model_takes_anything() -> None:
    learnt = served(DummyClassifier().fit([["a"], ["b"]], [1, 1]))
    assert answer(learnt, "x\ny\n") == answer(learnt, '["x", "y"]', JSON) == [1, 1]

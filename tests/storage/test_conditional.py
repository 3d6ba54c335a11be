"""Objects that are written only as they were seen, in S3 and Google Cloud Storage."""

import pytest

from tests.emulators import GcsServer, S3Server
from transforms.storage import conditional, objects
from transforms.storage.stores import ObjectOptions

BUCKET = "conditions"


@pytest.fixture(params=["s3", "gs"])
def uri(request: pytest.FixtureRequest, s3_server: S3Server, gcs_server: GcsServer) -> str:
    """An object that isn't there."""
    (s3_server if request.param == "s3" else gcs_server).make_bucket(BUCKET)
    return f"{request.param}://{BUCKET}/folder/object"


def test_one_of_two_succeeds(uri: str, store_options: ObjectOptions):
    assert conditional.read(uri, store_options) is None
    assert conditional.write(uri, b"first", None, store_options)
    assert not conditional.write(uri, b"late", None, store_options)
    data, mark = conditional.read(uri, store_options)
    assert data == b"first"
    assert conditional.write(uri, b"second", mark, store_options)
    assert not conditional.write(uri, b"late", mark, store_options)
    assert conditional.read(uri, store_options)[0] == b"second"
    objects.delete(uri, store_options)
    assert not conditional.write(uri, b"late", mark, store_options)
    assert conditional.read(uri, store_options) is None

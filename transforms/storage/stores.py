"""Opening a bucket of S3 or Google Cloud Storage with the credentials that the environment has."""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from datetime import timedelta
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError
from obstore.store import GCSStore, ObjectStore, S3Store

from transforms.storage.endpoints import is_endpoint
from transforms.storage.retry import Retry

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider

_GOOGLE_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
)
#: An account for an emulator, which wants none.
_NO_ACCOUNT = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
_GOOGLE_METADATA = "169.254.169.254"
_METADATA_SECONDS = 2.0
_RETRY = Retry(retries=4, total_seconds=90, first_wait=0.1, longest_wait=10)


@dataclass(frozen=True)
class ObjectOptions:
    """How objects are fetched.

    Attributes:
        s3_endpoint_url: an S3-compatible server instead of Amazon's.
        connect_timeout: seconds until a connection stands.
        read_timeout: seconds between two pieces of an answer.
        timeout: seconds for one request with its answer, however it drips.
        retry: of what can pass: connections refused or broken, timeouts, 429 and 5xx.
        max_bytes: size up to which an object is fetched.
        max_concurrent: requests under way at once.
    """

    s3_endpoint_url: str | None = None
    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    timeout: float = 60.0
    retry: Retry = _RETRY
    max_bytes: int = 64 << 20
    max_concurrent: int = 32

    def hasty(self) -> "ObjectOptions":
        """For what is asked before a build begins, to tell in seconds what is wrong."""
        retry = replace(self.retry, retries=1, total_seconds=15)
        return replace(self, read_timeout=10.0, timeout=15.0, retry=retry)


def open_bucket(scheme: str, bucket: str, options: ObjectOptions) -> list[ObjectStore]:
    """Ways to ask a bucket for an object: with credentials where there are some, then without.

    Both are needed: a public bucket may refuse those whom its owner doesn't know. Looking for
    credentials takes a few seconds at most, and a machine's metadata service isn't asked for any
    where the server isn't the cloud's own.

    Args:
        scheme: `s3` or `gs`.
        bucket: its name.
        options: how to connect.

    Raises:
        ValueError: the credentials that the environment names can't be used.
    """
    return _open_gcs(bucket, options) if scheme == "gs" else _open_s3(bucket, options)


def _open_s3(bucket: str, options: ObjectOptions) -> list[ObjectStore]:
    endpoint = options.s3_endpoint_url or _endpoint_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    config = _client(options)
    if endpoint:
        config["endpoint"] = endpoint
    elif region := _bucket_region(bucket, options.connect_timeout):
        config["region"] = region
    anonymous = S3Store(bucket, skip_signature=True, **config)
    try:
        credentials = _amazon_credentials(asks_machine=not endpoint)
    except ValueError as error:
        raise ValueError(f"s3://{bucket}: {error}") from error
    if credentials is None:
        return [anonymous]
    return [S3Store(bucket, credential_provider=credentials, **config), anonymous]


def _amazon_credentials(asks_machine: bool) -> "Boto3CredentialProvider | None":
    """Returns what gives credentials, found as Amazon's programs do; None where there are none.

    Args:
        asks_machine: whether a machine of Amazon's is asked for those of its role.

    Raises:
        ValueError: They can't be used.
    """
    # They take half a second.
    import boto3
    import botocore.exceptions
    import botocore.session
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = botocore.session.Session()
    try:
        if not asks_machine:
            session.get_component("credential_provider").remove("iam-role")
        if session.get_credentials() is None:
            return None
        provider = Boto3CredentialProvider(boto3.Session(botocore_session=session))
        provider()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise ValueError(_first_line(error)) from error
    return provider


def _endpoint_of(*variables: str) -> str | None:
    """Returns the first of these variables that is set.

    Raises:
        ValueError: It isn't a URL.
    """
    for name in variables:
        url = os.environ.get(name)
        if url is not None:  # an empty one isn't unset for obstore
            if not is_endpoint(url):
                raise ValueError(f"{name}: {url!r} is no URL that starts with http:// or https://")
            return url
    return None


def _open_gcs(bucket: str, options: ObjectOptions) -> list[ObjectStore]:
    client = _client(options)
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        root = emulator if "://" in emulator else f"http://{emulator}"
        if not is_endpoint(root):
            raise ValueError(f"STORAGE_EMULATOR_HOST: {emulator!r} is no HOST:PORT")
        account = _NO_ACCOUNT | {"gcs_base_url": root.rstrip("/")}
        return [GCSStore(bucket, service_account_key=json.dumps(account), **client)]
    login = Path.home() / ".config/gcloud/application_default_credentials.json"
    named = any(os.environ.get(name) for name in _GOOGLE_VARIABLES)
    timeout = min(options.connect_timeout, _METADATA_SECONDS)
    stores: list[ObjectStore] = []
    if named or login.exists() or _on_google_cloud(timeout):
        try:
            stores.append(GCSStore(bucket, **client))
        except BaseError as error:
            raise ValueError(f"gs://{bucket}: {_first_line(error)}") from error
    return [*stores, GCSStore(bucket, skip_signature=True, **client)]


def _client(options: ObjectOptions) -> dict[str, Any]:
    timeouts = ("connect_timeout", "read_timeout", "timeout")
    client = {name: timedelta(seconds=getattr(options, name)) for name in timeouts}
    first, longest = options.retry.first_wait, options.retry.longest_wait
    backoff = {"init_backoff": timedelta(seconds=first), "max_backoff": timedelta(seconds=longest)}
    return {
        # The cloud's own endpoints are HTTPS all the same.
        "client_options": {"allow_http": True, **client},
        "retry_config": {
            "max_retries": options.retry.retries,
            "retry_timeout": timedelta(seconds=options.retry.total_seconds),
            "backoff": {**backoff, "base": 2},
        },
    }


def _bucket_region(bucket: str, timeout: float) -> str | None:
    """Returns where a bucket of Amazon's lies, which it tells anyone; None if it can't be told."""
    request = urllib.request.Request(f"https://s3.amazonaws.com/{bucket}", method="HEAD")
    _, headers = _ask(request, timeout)
    return headers.get("x-amz-bucket-region")


def _on_google_cloud(timeout: float) -> bool:
    """Returns whether this is a machine of Google's with an account, a Dataflow worker for one.

    Where nothing answers, Google's own library takes twelve seconds to say so.
    """
    host = os.environ.get("GCE_METADATA_HOST", _GOOGLE_METADATA)
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/email"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    status, headers = _ask(request, timeout)
    # Through a proxy, someone else may answer.
    return status == HTTPStatus.OK and headers.get("Metadata-Flavor") == "Google"


def _ask(request: urllib.request.Request, timeout: float) -> tuple[int, Message]:
    """Returns the status and headers of an answer; 0 and none if there is no answer."""
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers
    except (OSError, HTTPException):
        return 0, Message()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

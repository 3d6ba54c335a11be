"""Opening a bucket of S3 or Google Cloud Storage with the credentials that the environment has."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from obstore.exceptions import BaseError
from obstore.store import GCSStore, ObjectStore, S3Store

from transforms.storage.endpoints import is_endpoint
from transforms.storage.retry import Retry

_AWS_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GOOGLE_VARIABLES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
)
#: What obstore calls the keys of AWS's credentials file.
_PROFILE_KEYS = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}
#: An account for an emulator, which wants none.
_EMULATED_ACCOUNT = {
    "disable_oauth": True,
    "client_email": "",
    "private_key": "",
    "private_key_id": "",
}
#: Both clouds serve a machine's credentials here; anywhere else, nothing answers.
_METADATA = "http://169.254.169.254"
_METADATA_TIMEOUT = 2.0
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
    credentials takes a few seconds at most, and nothing is asked of a metadata service when the
    server isn't the cloud's own.

    Args:
        scheme: `s3` or `gs`.
        bucket: its name.
        options: how to connect.

    Raises:
        ValueError: the credentials that the environment names can't be used.
    """
    if scheme == "gs":
        return _open_gcs(bucket, _client(options))
    return _open_s3(bucket, options)


def _open_s3(bucket: str, options: ObjectOptions) -> list[ObjectStore]:
    endpoint = options.s3_endpoint_url or _endpoint_of("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    config: dict[str, Any] = {}
    if endpoint:
        config["endpoint"] = endpoint
    elif region := _bucket_region(bucket, options.connect_timeout):
        config["region"] = region
    client = _client(options)
    stores: list[ObjectStore] = []
    profile = _profile_keys()
    if profile or _any_set(_AWS_VARIABLES) or (not endpoint and _on_ec2()):
        try:
            stores.append(S3Store(bucket, **config, **profile, **client))
        except BaseError as error:
            raise ValueError(f"s3://{bucket}: {_first_line(error)}") from error
    return [*stores, S3Store(bucket, skip_signature=True, **config, **client)]


def _endpoint_of(*variables: str) -> str | None:
    """The first of these variables that is set.

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


def _open_gcs(bucket: str, client: dict[str, Any]) -> list[ObjectStore]:
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        root = emulator if "://" in emulator else f"http://{emulator}"
        if not is_endpoint(root):
            raise ValueError(f"STORAGE_EMULATOR_HOST: {emulator!r} is no HOST:PORT")
        account = _EMULATED_ACCOUNT | {"gcs_base_url": root.rstrip("/")}
        return [GCSStore(bucket, service_account_key=json.dumps(account), **client)]
    stores: list[ObjectStore] = []
    login = Path.home() / ".config/gcloud/application_default_credentials.json"
    if _any_set(_GOOGLE_VARIABLES) or login.exists() or _on_google_cloud():
        try:
            stores.append(GCSStore(bucket, **client))
        except BaseError as error:
            raise ValueError(f"gs://{bucket}: {_first_line(error)}") from error
    return [*stores, GCSStore(bucket, skip_signature=True, **client)]


def _client(options: ObjectOptions) -> dict[str, Any]:
    retry = options.retry
    return {
        "client_options": {
            "allow_http": True,  # the cloud's own endpoints are HTTPS all the same
            "connect_timeout": timedelta(seconds=options.connect_timeout),
            "read_timeout": timedelta(seconds=options.read_timeout),
            "timeout": timedelta(seconds=options.timeout),
        },
        "retry_config": {
            "max_retries": retry.retries,
            "retry_timeout": timedelta(seconds=retry.total_seconds),
            "backoff": {
                "init_backoff": timedelta(seconds=retry.first_wait),
                "max_backoff": timedelta(seconds=retry.longest_wait),
                "base": 2,
            },
        },
    }


def _any_set(variables: tuple[str, ...]) -> bool:
    return any(os.environ.get(name) for name in variables)


def _profile_keys() -> dict[str, str]:
    """The keys of a profile in AWS's credentials file, which obstore doesn't read.

    Empty where there is no such file, or variables come before it.

    Raises:
        ValueError: AWS_PROFILE names a profile without keys.
    """
    if _any_set(_AWS_VARIABLES):
        return {}
    import configparser  # seldom needed, and it takes 5 ms

    name = os.environ.get("AWS_PROFILE")
    path = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    profiles = configparser.RawConfigParser()
    try:
        profiles.read(os.path.expanduser(path), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} can't be read: {_first_line(error)}") from error
    section = name or "default"
    found = profiles[section] if profiles.has_section(section) else {}
    keys = {ours: found[theirs] for ours, theirs in _PROFILE_KEYS.items() if theirs in found}
    if name and "access_key_id" not in keys:
        raise ValueError(
            f"AWS_PROFILE: {path} has no keys for {name!r}; to use another kind of profile: "
            f'eval "$(aws configure export-credentials --profile {name} --format env)"'
        )
    return keys


def _bucket_region(bucket: str, timeout: float) -> str | None:
    """Where a bucket of Amazon's lies, which it tells anyone; None if it can't be told."""
    answer = _ask("HEAD", f"https://s3.amazonaws.com/{bucket}", {}, timeout)
    return answer.headers.get("x-amz-bucket-region") if answer else None


def _on_ec2() -> bool:
    """Whether this is a machine of Amazon's with a role."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    root = f"{os.environ.get('AWS_METADATA_ENDPOINT', _METADATA)}/latest"
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _ask("PUT", f"{root}/api/token", lifetime, _METADATA_TIMEOUT)
    if token is None or token.status != HTTPStatus.OK:
        return False
    session = {"X-aws-ec2-metadata-token": token.body.decode("latin-1")}
    url = f"{root}/meta-data/iam/security-credentials/"
    roles = _ask("GET", url, session, _METADATA_TIMEOUT)
    return roles is not None and roles.status == HTTPStatus.OK


def _on_google_cloud() -> bool:
    """Whether this is a machine of Google's with an account, a Dataflow worker for one."""
    url = f"{_METADATA}/computeMetadata/v1/instance/service-accounts/default/email"
    account = _ask("GET", url, {"Metadata-Flavor": "Google"}, _METADATA_TIMEOUT)
    # Through a proxy, someone else may answer.
    return account is not None and (
        account.status == HTTPStatus.OK and account.headers.get("Metadata-Flavor") == "Google"
    )


class _Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


def _ask(method: str, url: str, headers: Mapping[str, str], timeout: float) -> _Answer | None:
    """An answer, whatever its status; None if there is none."""
    request = urllib.request.Request(url, headers=dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return _Answer(answer.status, answer.headers, answer.read(4096))
    except urllib.error.HTTPError as error:
        return _Answer(error.code, error.headers, b"")
    except (OSError, HTTPException):
        return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

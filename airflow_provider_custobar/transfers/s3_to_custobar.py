"""Files on S3 to Custobar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_custobar.api.errors import InvalidArgumentError
from airflow_provider_custobar.stores.protocol import Location
from airflow_provider_custobar.stores.reading import find
from airflow_provider_custobar.task.file_upload_operator import FileUploadOperator
from airflow_provider_custobar.task.names import check_extra_args, check_keys, check_s3_bucket, s3_place, within_bucket

if TYPE_CHECKING:
    from airflow_provider_custobar.stores.protocol import StoredObject


class S3ToCustobarOperator(FileUploadOperator):
    """
    Send the rows of one or more S3 objects to Custobar.

    Takes the arguments of :class:`~airflow_provider_custobar.task.file_upload_operator.FileUploadOperator`, and:

    :param s3_bucket: The bucket; None where ``s3_key`` is a whole URL. (templated)
    :param s3_key: The object's key; a pattern (``customers/*.csv.gz``); or a prefix, which ends in a slash; or one of them as
        ``s3://bucket/key``. (templated)
    :param aws_conn_id: The Airflow connection for AWS. (templated)
    :param verify_s3: Whether to check the server's certificate, or the file of authorities to check it with; ``verify`` of
        ``S3Hook`` (here ``verify`` reads rows back).
    :param extra_args: What else boto3 takes along with a download, such as ``{"RequestPayer": "requester"}``,
        ``ExpectedBucketOwner``, ``SSECustomerKey`` or, for one object, ``VersionId``. (templated)
    """

    template_fields: Sequence[str] = (
        *FileUploadOperator.common_template_fields,
        "s3_bucket",
        "s3_key",
        "aws_conn_id",
        "extra_args",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {**FileUploadOperator.template_fields_renderers, "extra_args": "json"}

    def __init__(
        self,
        *,
        s3_bucket: str | None = None,
        s3_key: str,
        aws_conn_id: str | None = "aws_default",
        verify_s3: bool | str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.s3_bucket = s3_bucket
        self.s3_key = s3_key
        self.aws_conn_id = aws_conn_id
        self.verify_s3 = verify_s3
        self.extra_args = extra_args

    def find_objects(self) -> list[StoredObject]:
        bucket, within = s3_place(self.s3_bucket, self.s3_key)
        key = self._sought = check_keys("s3_key", within)
        client = self._client()
        from boto3.s3.transfer import S3Transfer  # noqa: PLC0415 - as in _client

        from airflow_provider_custobar.stores.s3 import S3Store  # noqa: PLC0415

        extra_args = check_extra_args(self.extra_args, S3Transfer.ALLOWED_DOWNLOAD_ARGS)
        for name, value in extra_args.items():
            if not isinstance(value, str):
                # Before boto3 does, whose message shows the value, which may be a key.
                raise InvalidArgumentError("extra_args", name, "its value must be a text")
        found = find(S3Store(client, bucket, extra_args=extra_args), "s3_key", key)
        if "VersionId" in extra_args and [each.name for each in found] != [key]:
            raise InvalidArgumentError(
                "extra_args", "VersionId", f"a version is of one object, and s3_key={key!r} names others"
            )
        return found

    def location(self, argument: str, value: object) -> Location:
        found = within_bucket(argument, value, ("s3", "s3a", "s3n"), s3_place(self.s3_bucket, self.s3_key)[0])
        if found is None:
            return super().location(argument, value)
        bucket, key = check_s3_bucket(argument, found[0]), found[1]
        client = self._client()
        from boto3.s3.transfer import S3Transfer  # noqa: PLC0415 - as in _client

        from airflow_provider_custobar.stores.s3 import S3Store  # noqa: PLC0415

        extra_args = {name: value for name, value in (self.extra_args or {}).items() if name in S3Transfer.ALLOWED_UPLOAD_ARGS}
        store = S3Store(client, bucket, extra_args=extra_args)
        return Location(store=store, name=key, target=store.target(key))

    def _client(self) -> Any:
        try:
            # Imported here, so that a missing extra is a clear message of the task and not a broken DAG file.
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: PLC0415
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                "S3ToCustobarOperator needs the Amazon provider: pip install 'airflow-provider-custobar[amazon]'"
            ) from error
        return S3Hook(aws_conn_id=self.aws_conn_id, verify=self.verify_s3).get_conn()

"""Custobar to Amazon S3 and what speaks its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_custobar.stores.protocol import Store
from airflow_provider_custobar.task.export_operator import CustobarExportOperator
from airflow_provider_custobar.task.names import check_extra_args, check_key, s3_place


class CustobarToS3Operator(CustobarExportOperator):
    """
    Export one Custobar resource to an S3 object, by multipart upload.

    Needs the ``amazon`` extra. Takes the arguments of
    :class:`~airflow_provider_custobar.task.export_operator.CustobarExportOperator`, and:

    :param s3_bucket: Name of the bucket, which must exist; None where ``s3_key`` is a whole URL. (templated)
    :param s3_key: Key of the object, such as ``custobar/sales/ds={{ ds }}/sales.csv.gz``, or ``s3://bucket/key``. (templated)
    :param aws_conn_id: The AWS connection id. (templated)
    :param verify: Whether to check the server's certificate, or the file of authorities to check it with; see ``S3Hook``.
    :param encrypt: Let S3 encrypt the object with its own key (``AES256``); for another key see ``extra_args``.
    :param acl_policy: Canned ACL of the object, such as ``bucket-owner-full-control``. (templated)
    :param extra_args: What else boto3 takes along with an upload, such as
        ``{"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "...", "StorageClass": "STANDARD_IA"}``. (templated)
    """

    name_argument = "s3_key"
    template_fields: Sequence[str] = (
        *CustobarExportOperator.common_template_fields,
        "s3_bucket",
        "s3_key",
        "aws_conn_id",
        "acl_policy",
        "extra_args",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **CustobarExportOperator.template_fields_renderers,
        "extra_args": "json",
    }

    def __init__(
        self,
        *,
        s3_bucket: str | None = None,
        s3_key: str,
        aws_conn_id: str | None = "aws_default",
        verify: bool | str | None = None,
        encrypt: bool = False,
        acl_policy: str | None = None,
        extra_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encrypt = encrypt
        self.acl_policy = acl_policy
        self.extra_args = extra_args
        self.s3_bucket = s3_bucket
        self.s3_key = s3_key
        self.aws_conn_id = aws_conn_id
        self.verify = verify

    def check_name(self, argument: str, value: object) -> str:
        return check_key(argument, s3_place(self.s3_bucket, value)[1] if argument == "s3_key" else value)

    @property
    def bucket(self) -> str:
        return s3_place(self.s3_bucket, self.s3_key)[0]

    def make_store(self) -> Store:
        bucket = self.bucket
        try:
            # Imported here, so that a missing extra is a clear message of the task and not a broken DAG file.
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: PLC0415
            from boto3.s3.transfer import S3Transfer  # noqa: PLC0415

            from airflow_provider_custobar.stores.s3 import S3Store  # noqa: PLC0415
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                "CustobarToS3Operator needs the Amazon provider: pip install 'airflow-provider-custobar[amazon]'"
            ) from error
        extra_args = check_extra_args(self.extra_args, S3Transfer.ALLOWED_UPLOAD_ARGS)
        if self.encrypt:
            extra_args["ServerSideEncryption"] = "AES256"
        if self.acl_policy:
            extra_args["ACL"] = self.acl_policy
        client = S3Hook(aws_conn_id=self.aws_conn_id, verify=self.verify).get_conn()
        return S3Store(client, bucket, replace=self.replace, extra_args=extra_args)

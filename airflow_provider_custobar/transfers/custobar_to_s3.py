"""Custobar to Amazon S3 and what speaks its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.export.targets import Target
from airflow_provider_custobar.transfers.base import CustobarExportOperator, check_bucket, check_key, fill_in


class CustobarToS3Operator(CustobarExportOperator):
    """
    Export one Custobar resource to an S3 object, by multipart upload.

    Needs the ``amazon`` extra. Takes the arguments of
    :class:`~airflow_provider_custobar.transfers.base.CustobarExportOperator`, and:

    :param s3_bucket: Name of the bucket, which must exist. (templated)
    :param s3_key: Key of the object, such as ``custobar/sales/ds={{ ds }}/sales.csv.gz``. (templated)
    :param aws_conn_id: The AWS connection id. (templated)
    """

    template_fields: Sequence[str] = (
        *CustobarExportOperator.common_template_fields,
        "s3_bucket",
        "s3_key",
        "aws_conn_id",
    )

    def __init__(self, *, s3_bucket: str, s3_key: str, aws_conn_id: str | None = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.s3_bucket = s3_bucket
        self.s3_key = s3_key
        self.aws_conn_id = aws_conn_id

    def make_target(self, query: Query) -> Target:
        bucket = check_bucket("s3_bucket", self.s3_bucket)
        key = fill_in(check_key("s3_key", self.s3_key), "s3_key", query)
        try:
            # Imported here, so that a missing extra is a clear message of the task and not a broken DAG file.
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: PLC0415

            from airflow_provider_custobar.export.s3 import S3Target  # noqa: PLC0415
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                "CustobarToS3Operator needs the Amazon provider: pip install 'airflow-provider-custobar[amazon]'"
            ) from error
        return S3Target(S3Hook(aws_conn_id=self.aws_conn_id).get_conn(), bucket, key, replace=self.replace)

"""Custobar to Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_custobar.api.query import Query
from airflow_provider_custobar.stores.protocol import Store
from airflow_provider_custobar.task.export_operator import CustobarExportOperator
from airflow_provider_custobar.task.names import check_gcs_bucket, check_key, check_metadata


class CustobarToGCSOperator(CustobarExportOperator):
    """
    Export one Custobar resource to a Google Cloud Storage object, by resumable upload.

    Needs the ``google`` extra. Takes the arguments of
    :class:`~airflow_provider_custobar.task.export_operator.CustobarExportOperator`, and:

    :param bucket_name: Name of the bucket, which must exist. (templated)
    :param object_name: Name of the object, such as ``custobar/events/ds={{ ds }}/events.jsonl.gz``. (templated)
    :param gcp_conn_id: The Google Cloud connection id. (templated)
    :param impersonation_chain: Service account to impersonate, or a chain of accounts to get there. (templated)
    :param metadata: Further metadata of the object, by name. (templated)
    :param cache_control: Its Cache-Control header. (templated)
    """

    name_argument = "object_name"
    template_fields: Sequence[str] = (
        *CustobarExportOperator.common_template_fields,
        "bucket_name",
        "object_name",
        "gcp_conn_id",
        "impersonation_chain",
        "metadata",
        "cache_control",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **CustobarExportOperator.template_fields_renderers,
        "metadata": "json",
    }

    def __init__(
        self,
        *,
        bucket_name: str,
        object_name: str,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket_name = bucket_name
        self.object_name = object_name
        self.gcp_conn_id = gcp_conn_id
        self.impersonation_chain = impersonation_chain
        self.metadata = metadata
        self.cache_control = cache_control

    def metadata_of(self, query: Query) -> dict[str, str]:
        return super().metadata_of(query) | check_metadata("metadata", self.metadata)

    def check_name(self, argument: str, value: object) -> str:
        return check_key(argument, value)

    @property
    def bucket(self) -> str:
        return check_gcs_bucket("bucket_name", self.bucket_name)

    def make_store(self) -> Store:
        bucket = self.bucket
        try:
            # Imported here, so that a missing extra is a clear message of the task and not a broken DAG file.
            from airflow.providers.google.cloud.hooks.gcs import GCSHook  # noqa: PLC0415

            from airflow_provider_custobar.stores.gcs import GcsStore  # noqa: PLC0415
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                "CustobarToGCSOperator needs the Google provider: pip install 'airflow-provider-custobar[google]'"
            ) from error
        hook = GCSHook(gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain)
        return GcsStore(hook.get_conn(), bucket, replace=self.replace, cache_control=self.cache_control)

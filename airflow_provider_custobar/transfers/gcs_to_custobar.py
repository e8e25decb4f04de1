"""Files on Google Cloud Storage to Custobar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

from airflow_provider_custobar.stores.protocol import Location
from airflow_provider_custobar.stores.reading import find
from airflow_provider_custobar.task.file_upload_operator import FileUploadOperator
from airflow_provider_custobar.task.names import check_gcs_bucket, check_keys, within_bucket

if TYPE_CHECKING:
    from airflow_provider_custobar.stores.protocol import StoredObject


class GCSToCustobarOperator(FileUploadOperator):
    """
    Send the rows of one or more objects on Google Cloud Storage to Custobar.

    Takes the arguments of :class:`~airflow_provider_custobar.task.file_upload_operator.FileUploadOperator`, and:

    :param bucket_name: The bucket. (templated)
    :param object_name: The object's name; a pattern (``customers/*.csv.gz``); or a prefix, which ends in a slash. (templated)
    :param gcp_conn_id: The Airflow connection for Google Cloud. (templated)
    :param impersonation_chain: Service account to impersonate, or a chain of them. (templated)
    """

    template_fields: Sequence[str] = (
        *FileUploadOperator.common_template_fields,
        "bucket_name",
        "object_name",
        "gcp_conn_id",
        "impersonation_chain",
    )

    def __init__(
        self,
        *,
        bucket_name: str,
        object_name: str,
        gcp_conn_id: str = "google_cloud_default",
        impersonation_chain: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket_name = bucket_name
        self.object_name = object_name
        self.gcp_conn_id = gcp_conn_id
        self.impersonation_chain = impersonation_chain

    def find_objects(self) -> list[StoredObject]:
        bucket = check_gcs_bucket("bucket_name", self.bucket_name)
        name = self._sought = check_keys("object_name", self.object_name)
        client = self._client()
        from airflow_provider_custobar.stores.gcs import GcsStore  # noqa: PLC0415 - as in _client

        return find(GcsStore(client, bucket), "object_name", name)

    def location(self, argument: str, value: object) -> Location:
        found = within_bucket(argument, value, ("gs", "gcs"), self.bucket_name)
        if found is None:
            return super().location(argument, value)
        bucket, name = check_gcs_bucket(argument, found[0]), found[1]
        client = self._client()
        from airflow_provider_custobar.stores.gcs import GcsStore  # noqa: PLC0415 - as in _client

        store = GcsStore(client, bucket)
        return Location(store=store, name=name, target=store.target(name))

    def _client(self) -> Any:
        try:
            # Imported here, so that a missing extra is a clear message of the task and not a broken DAG file.
            from airflow.providers.google.cloud.hooks.gcs import GCSHook  # noqa: PLC0415
        except ImportError as error:
            raise AirflowOptionalProviderFeatureException(
                "GCSToCustobarOperator needs the Google provider: pip install 'airflow-provider-custobar[google]'"
            ) from error
        return GCSHook(gcp_conn_id=self.gcp_conn_id, impersonation_chain=self.impersonation_chain).get_conn()

"""Places for files, with operators that write and read there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider_custobar.sandbox import CustobarSandbox
from airflow_provider_custobar.transfers.custobar_to_gcs import CustobarToGCSOperator
from airflow_provider_custobar.transfers.custobar_to_object_storage import CustobarToObjectStorageOperator
from airflow_provider_custobar.transfers.custobar_to_s3 import CustobarToS3Operator
from airflow_provider_custobar.transfers.gcs_to_custobar import GCSToCustobarOperator
from airflow_provider_custobar.transfers.object_storage_to_custobar import ObjectStorageToCustobarOperator
from airflow_provider_custobar.transfers.s3_to_custobar import S3ToCustobarOperator
from tools.servers import GcsServer, S3Server


class Place:
    """Somewhere to put files, and operators that write and read there."""

    def put(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def get(self, name: str) -> bytes:
        raise NotImplementedError

    def names(self) -> list[str]:
        raise NotImplementedError

    def operator(self, name: object, **arguments: Any) -> BaseOperator:
        """What uploads the files that ``name`` means."""
        raise NotImplementedError

    def upload(self, name: object, **arguments: Any) -> dict[str, Any]:
        return self.operator(name, **arguments).execute({})

    def exporter(self, name: object, **arguments: Any) -> BaseOperator:
        """What writes files there."""
        raise NotImplementedError

    def export(self, name: object, **arguments: Any) -> dict[str, Any]:
        return self.exporter(name, **arguments).execute({})

    def uri(self, name: str) -> str:
        raise NotImplementedError


class OnS3(Place):
    def __init__(self, server: S3Server, bucket: str) -> None:
        self.client: Any = server.client()
        self.bucket = bucket

    def put(self, name: str, data: bytes, **extra: Any) -> None:
        self.client.put_object(Bucket=self.bucket, Key=name, Body=data, **extra)

    def get(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()

    def names(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def operator(self, name: object, **arguments: Any) -> BaseOperator:
        given = {"s3_bucket": self.bucket, "s3_key": name, **arguments}
        return S3ToCustobarOperator(task_id="upload", **given)

    def exporter(self, name: object, **arguments: Any) -> BaseOperator:
        given = {"s3_bucket": self.bucket, "s3_key": name, "resource": "products", **arguments}
        return CustobarToS3Operator(task_id="export", **given)

    def uri(self, name: str) -> str:
        return f"s3://{self.bucket}/{name}"


class OnGcs(Place):
    def __init__(self, server: GcsServer, bucket: str) -> None:
        self.bucket = server.client().bucket(bucket)

    def put(self, name: str, data: bytes, **extra: Any) -> None:
        blob = self.bucket.blob(name)
        blob.content_encoding = extra.get("ContentEncoding")
        blob.upload_from_string(data)

    def get(self, name: str) -> bytes:
        return self.bucket.get_blob(name).download_as_bytes()

    def names(self) -> list[str]:
        return [blob.name for blob in self.bucket.list_blobs()]

    def operator(self, name: object, **arguments: Any) -> BaseOperator:
        given = {"bucket_name": self.bucket.name, "object_name": name, **arguments}
        return GCSToCustobarOperator(task_id="upload", **given)

    def exporter(self, name: object, **arguments: Any) -> BaseOperator:
        given = {"bucket_name": self.bucket.name, "object_name": name, "resource": "products", **arguments}
        return CustobarToGCSOperator(task_id="export", **given)

    def uri(self, name: str) -> str:
        return f"gs://{self.bucket.name}/{name}"


class OnDisk(Place):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, data: bytes) -> None:
        path = f"{self.folder}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib takes no name letter by letter
        Path(path).write_bytes(data)

    def get(self, name: str) -> bytes:
        return Path(f"{self.folder}/{name}").read_bytes()

    def names(self) -> list[str]:
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]

    def operator(self, name: object, **arguments: Any) -> BaseOperator:
        return ObjectStorageToCustobarOperator(task_id="upload", path=f"file://{self.folder}/{name}", **arguments)

    def exporter(self, name: object, **arguments: Any) -> BaseOperator:
        given = {"path": f"file://{self.folder}/{name}", "resource": "products", **arguments}
        return CustobarToObjectStorageOperator(task_id="export", **given)

    def uri(self, name: str) -> str:
        return f"file://{self.folder}/{name}"


def sent(tenant: CustobarSandbox) -> list[str]:
    return [row["external_id"] for entry in tenant.uploads for row in entry.rows]


def one(external_id: str) -> bytes:
    return f"external_id,email\r\n{external_id},{external_id}@example.com\r\n".encode()

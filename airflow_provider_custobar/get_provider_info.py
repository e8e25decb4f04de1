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
    "description": "For connecting and for each silence of the server. 60 by default.",
    "schema": {"type": ["number", "null"], "minimum": 1},
}
_MAX_ATTEMPTS = {
    "label": "Attempts per request",
    "description": "8 by default.",
    "schema": {"type": ["integer", "null"], "minimum": 1},
}
_VERIFY = {
    "label": "Verify TLS",
    "description": "true (default), false, or the path of a CA bundle.",
    "schema": {"type": ["string", "null"]},
}


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, as ``provider_info.schema.json`` of Airflow has it."""
    return {
        "package-name": "airflow-provider-custobar",
        "name": _CUSTOBAR,
        "description": "`Custobar <https://www.custobar.com/>`__ customer data platform: exports, uploads, events.",
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
            {"integration-name": _CUSTOBAR, "python-modules": ["airflow_provider_custobar.operators.custobar"]},
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
                        "description": "Token (default) or Bearer. Not used with HTTP Basic.",
                        "schema": {"type": ["string", "null"], "enum": ["Token", "Bearer"], "default": "Token"},
                    },
                    "requests_per_minute": {
                        "label": "Requests per minute",
                        "description": "The most that one task asks for. 60 by default; Custobar's own limit seems to be 180.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "timezone": {
                        "label": "Time zone of the tenant",
                        "description": "IANA name such as Europe/Helsinki: what a day is. UTC by default.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "trust_day_filter": {
                        "label": "Trust the API's days",
                        "description": "The API cuts days in the zone above: windows of whole days need no second look.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                    "timeout": _TIMEOUT,
                    "max_attempts": _MAX_ATTEMPTS,
                    "test_path": {
                        "label": "Path for Test Connection",
                        "description": "A GET that the token's scope allows. A customer's external_id by default.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "trusted_hosts": {
                        "label": "Trusted hosts",
                        "description": "Other hosts that a next page may be on, host or host:port, with commas between them.",
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
                        "description": "The most that one task asks for. 60 by default; the store's own limit is kept, too.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "timeout": _TIMEOUT,
                    "max_attempts": _MAX_ATTEMPTS,
                    "verify": _VERIFY,
                },
            },
        ],
    }

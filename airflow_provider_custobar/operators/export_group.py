"""The export of a whole tenant, as one group of tasks."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator
from airflow.sdk import Asset, TaskGroup

from airflow_provider_custobar.api.errors import InvalidArgumentError, did_you_mean
from airflow_provider_custobar.api.query import build_query
from airflow_provider_custobar.api.resources import READABLE, RESOURCES, Resource, WindowFilter
from airflow_provider_custobar.hooks.custobar import CustobarHook
from airflow_provider_custobar.retry_policy import CustobarRetryPolicy

_GROUP_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_SQL = "custobar_to_sql.CustobarToSqlOperator"
_S3 = "custobar_to_s3.CustobarToS3Operator"
_GCS = "custobar_to_gcs.CustobarToGCSOperator"
_OTHER = "custobar_to_object_storage.CustobarToObjectStorageOperator"
_FILE_NAME = re.compile(
    r"[^.]\.((?P<plain>csv|json|jsonl|parquet)|(?P<packed>csv|json|jsonl)\.(gz|gzip|zst|zstd))$", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
_OF_PERIOD = ("date", "window_start", "window_end")
_FILE_LIMITS = ("max_rows_per_file", "max_bytes_per_file")
#: Where a mapping may be the value itself.
_MAPPINGS = set("column_mapping default_args executor_config extra_args filters hook_params metadata params".split())
#: What makes no sense for a snapshot.
_OF_WINDOWS = ("lookback", "on_bad_timestamp")
#: What the group says by itself, or by another name.
_OWN = set("task_id resource window window_start window_end table s3_bucket s3_key bucket_name object_name path".split())


def custobar_export_group(
    group_id: str,
    *,
    target: str,
    conn_id: str | None = None,
    resources: str | Sequence[str] = READABLE,
    event_types: str | Sequence[str] | None = None,
    date: str | dt.date | None = None,
    wait_for_complete: bool = True,
    checks: bool = True,
    pool: str | None = None,
    retries: int = 5,
    custobar_conn_id: str = CustobarHook.default_conn_name,
    **export_arguments: Any,
) -> TaskGroup:
    """
    Export all resources of a tenant, each by a task named as the resource; to be called within a DAG.

    ::

        for tenant in ("acme", "globex"):
            custobar_export_group(
                tenant,
                target="s3://exports/" + tenant + "/{resource}/ds={date}/{resource}.parquet",
                event_types=["MAIL_OPEN", "MAIL_CLICK"],
                pool=f"custobar_{tenant}",
                custobar_conn_id=f"custobar_{tenant}",
            )

    Each export has ``Asset("GROUP_ID.RESOURCE")`` as its outlet, such as ``Asset("acme.events")``, for other DAGs to be
    scheduled on, and :class:`~airflow_provider_custobar.retry_policy.CustobarRetryPolicy`. Customers and products are snapshots
    of the moment; ``{date}`` in their names is the day that the run stands for.

    :param group_id: Name of the group.
    :param target: With ``conn_id``, what the names of tables begin with (``analytics.custobar_``), or ``{resource}`` within
        them. Else the URL of each file, with ``{resource}`` and ``{date}`` in it: its scheme tells the operator
        (``CustobarToS3Operator``, ``CustobarToGCSOperator``, or ``CustobarToObjectStorageOperator`` for any other), its ending
        the format: ``csv``, ``json``, ``jsonl``, each with ``.gz`` or ``.zst`` behind it if you like, or ``parquet``.
        (templated)
    :param conn_id: The connection id of a database, for ``CustobarToSqlOperator``.
    :param resources: Which of ``customers``, ``events``, ``sales`` and ``products``.
    :param event_types: Types of events, which events need, and the wait before events and sales. (templated)
    :param date: The day of events and sales. By default the period that the run stands for, ``window="auto"``: with a schedule
        of ``@daily``, or at midnight in the tenant's zone, the day before. (templated)
    :param wait_for_complete: Let events and sales wait until their period is complete, in the triggerer, for 12 hours at most.
    :param checks: Fail an export without rows, unless ``on_empty`` says otherwise (``on_empty={"sales": "write"}``); in tables,
        count the period's rows and look for keys that are there twice, too, in a task behind each load.
    :param pool: The pool of all tasks; with two slots for each tenant, they keep to what Custobar allows.
    :param retries: Those of all tasks.
    :param custobar_conn_id: The Custobar connection id. (templated)
    :param export_arguments: Further arguments of each export. Any may be given by resource: ``fields={"events": [...]}``. A
        ``manifest`` needs ``{resource}`` in its name, and ``outlets`` are there beside the group's own.
    :return: The group, for ``>>``.
    :raises InvalidArgumentError: while the DAG is parsed; names the argument, its value and what is accepted.
    """
    _check(group_id, date, wait_for_complete=wait_for_complete, checks=checks)
    exported = _resources(resources)
    windowed = [each for each in exported if each.window_filter is not WindowFilter.NONE]
    waits = wait_for_complete and bool(windowed)
    if event_types is None and (waits or RESOURCES["events"] in exported):
        raise InvalidArgumentError("event_types", None, "events need some, and so does the wait before events and sales")
    by_resource = {each.name: _of_resource(export_arguments, each) for each in exported}
    has_format = all("file_format" in given for given in by_resource.values())
    operator, places = _places(target, conn_id, exported, has_format=has_format)
    _check_arguments(export_arguments, operator, exported, target)
    allow_unknown = _of_resource(export_arguments, RESOURCES["events"]).get("allow_unknown_names", False)
    if waits:
        _check_query(RESOURCES["events"], {"event_types": event_types, "allow_unknown_names": allow_unknown})
    period: dict[str, Any] = {"window": "auto"} if date is None else {"date": date}
    defaults = {"retries": retries, "retry_policy": CustobarRetryPolicy()} | ({} if pool is None else {"pool": pool})
    with TaskGroup(group_id, default_args=defaults) as group:
        complete = None
        if waits:
            # Only here, as each operator only where it is wanted: whoever parses the DAG has to wait for it.
            from airflow_provider_custobar.sensors.custobar import CustobarEventSensor  # noqa: PLC0415

            complete = CustobarEventSensor(
                task_id="complete",
                event_types=event_types or (),
                wait_for="complete",
                deferrable=True,
                poke_interval=300,
                timeout=dt.timedelta(hours=12),
                allow_unknown_names=allow_unknown,
                custobar_conn_id=custobar_conn_id,
                **period,
            )
        for resource in exported:
            arguments: dict[str, Any] = {"on_empty": "fail"} if checks else {}
            arguments |= by_resource[resource.name] | (period if resource in windowed else {})
            outlets = arguments.get("outlets") or []
            own = Asset(f"{group.group_id}.{resource.name}")
            arguments["outlets"] = [own, *(outlets if isinstance(outlets, (list, tuple)) else [outlets])]
            if resource.name == "events":
                arguments["event_types"] = event_types
            _check_query(resource, arguments)
            _check_mode(resource, arguments)
            place = places[resource.name]
            if isinstance(arguments.get("manifest"), str):
                place["manifest"] = arguments.pop("manifest").replace("{resource}", resource.name)
            if date is not None and resource not in windowed:
                place = {name: str(value).replace("{date}", str(date)) for name, value in place.items()}
                if any(each in value for value in place.values() for each in ("{window_start}", "{window_end}")):
                    accepted = f"{resource.name} would be named by the run's period, and not by date: put {{date}} into it"
                    raise InvalidArgumentError("target", target, accepted)
            arguments = {"custobar_conn_id": custobar_conn_id, **place, **arguments}
            export: Any = operator(task_id=resource.name, resource=resource.name, **arguments)
            if complete is not None and resource in windowed:
                complete >> export
            if checks and conn_id is not None:
                from airflow_provider_custobar.task.table_check import check_table  # noqa: PLC0415 - as above

                check_table(resource, export)
    return group


def _check(group_id: object, date: object, **flags: object) -> None:
    if not isinstance(group_id, str) or not _GROUP_ID.fullmatch(group_id):
        raise InvalidArgumentError("group_id", group_id, "give letters, digits, _ and -, 200 at most")
    if date is not None and (not isinstance(date, (str, dt.date)) or isinstance(date, dt.datetime)):
        raise InvalidArgumentError("date", date, "give a day, or a template for one; leave it out for that of the run")
    for argument, flag in flags.items():
        if not isinstance(flag, bool):
            raise InvalidArgumentError(argument, flag, "give True or False")


def _resources(given: str | Sequence[str]) -> list[Resource]:
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else []
    for name in names:
        if name not in READABLE or names.count(name) > 1:
            hint = did_you_mean(str(name), READABLE) if name not in READABLE else ""
            raise InvalidArgumentError("resources", name, f"give some of {', '.join(READABLE)}, each once.{hint}")
    if not names:
        raise InvalidArgumentError("resources", given, f"give some of {', '.join(READABLE)}")
    return [RESOURCES[name] for name in names]


def _places(
    target: object, conn_id: str | None, exported: Sequence[Resource], *, has_format: bool
) -> tuple[type[BaseOperator], dict[str, dict[str, Any]]]:
    """The operator, and by resource those of its arguments that say where its rows go."""

    def refused(accepted: str) -> InvalidArgumentError:
        return InvalidArgumentError("target", target, accepted)

    if not isinstance(target, str) or not target.strip() or ("://" in target) == (conn_id is not None):
        raise refused("give a URL, s3://bucket/{resource}/{date}.csv; or conn_id, and what the names of tables begin with")
    known = ("resource",) if conn_id else ("resource", *_OF_PERIOD, "event_types", "part")
    if strange := [name for name in _PLACEHOLDER.findall(target) if name not in known]:
        raise refused(f"{{{strange[0]}}} is none of {', '.join(known)}.{did_you_mean(strange[0], known)}")
    names = {each.name: target.replace("{resource}", each.name) for each in exported}
    if conn_id is not None:
        prefix = "" if "{resource}" in target else target
        tables = {resource: name if not prefix else prefix + resource for resource, name in names.items()}
        return _transfer(_SQL), {resource: {"conn_id": conn_id, "table": table} for resource, table in tables.items()}
    scheme, _, rest = target.partition("://")
    folder, _, within = rest.partition("/")
    if not within or bool(folder) == (scheme.lower() in ("file", "local")):
        raise refused("give scheme://bucket/name, or file:///folder/name")
    if len(set(names.values())) < len(names):
        raise refused("all resources would go to one place: put {resource} into it")
    is_dated = "{{" in target or any(f"{{{each}}}" in target for each in _OF_PERIOD)
    if not is_dated and any(each.window_filter is not WindowFilter.NONE for each in exported):
        raise refused("every run would replace what the last one has written: put {date} into it")
    ending = _FILE_NAME.search(target)
    if ending is None and not has_format:
        raise refused("end it in .csv, .json or .jsonl, each with .gz or .zst behind it if you like, or in .parquet")
    file_format = {} if ending is None else {"file_format": (ending["plain"] or ending["packed"]).lower()}
    operator = {"s3": _S3, "gs": _GCS}.get(scheme.lower(), _OTHER)
    places: dict[str, dict[str, Any]] = {}
    for resource, name in names.items():
        bucket, _, key = name.partition("://")[2].partition("/")
        by_operator = {_S3: {"s3_key": name}, _GCS: {"bucket_name": bucket, "object_name": key}, _OTHER: {"path": name}}
        places[resource] = by_operator[operator] | file_format
    return _transfer(operator), places


def _transfer(name: str) -> type[BaseOperator]:
    """Imported only where it is wanted, as above."""
    module, _, operator = name.partition(".")
    found: type[BaseOperator] = getattr(importlib.import_module(f"airflow_provider_custobar.transfers.{module}"), operator)
    return found


def _check_arguments(given: Mapping[str, Any], operator: type[BaseOperator], exported: Sequence[Resource], target: str) -> None:
    signatures = (inspect.signature(vars(base)["__init__"]) for base in operator.__mro__ if "__init__" in vars(base))
    known = {name for signature in signatures for name in signature.parameters} - {"self", "kwargs"}
    for name, value in given.items():
        if name in _OWN:
            raise InvalidArgumentError(name, value, "the group gives it by itself: by target, date and resources")
        if name not in known:
            accepted = f"{operator.__name__} has no such argument.{did_you_mean(name, known - _OWN)}"
            raise InvalidArgumentError(name, value, accepted)
        names = [each.name for each in exported]
        if isinstance(value, Mapping) and (name not in _MAPPINGS or _is_by_resource(value)):
            for each in value:
                if each not in names:
                    raise InvalidArgumentError(name, each, f"give values by resource, of {', '.join(names)}")
        if name == "manifest" and isinstance(value, str) and "{resource}" not in value and len(names) > 1:
            raise InvalidArgumentError(name, value, "each export would replace that of another: put {resource} into it")
        if name in _FILE_LIMITS and value is not None and "{part}" not in target and "{{" not in target:
            raise InvalidArgumentError(name, value, "it makes many files: put {part}, the number of the file, into target")


def _is_by_resource(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(value) <= set(READABLE)


def _of_resource(given: Mapping[str, Any], resource: Resource) -> dict[str, Any]:
    is_snapshot = resource.window_filter is WindowFilter.NONE
    general = {name: value for name, value in given.items() if not (is_snapshot and name in _OF_WINDOWS)}
    by_resource = {name: value for name, value in given.items() if _is_by_resource(value)}
    own = {name: value[resource.name] for name, value in by_resource.items() if resource.name in value}
    return {name: value for name, value in general.items() if name not in by_resource} | own


def _check_query(resource: Resource, arguments: Mapping[str, Any]) -> None:
    """What is known already is checked now: neither templates nor what comes from other tasks is."""
    names = {name: arguments[name] for name in ("event_types", "filters", "fields", "order", "date") if name in arguments}
    if all(map(_is_known, names.values())):
        build_query(resource.name, **names, allow_unknown_names=arguments.get("allow_unknown_names", False))


def _check_mode(resource: Resource, arguments: Mapping[str, Any]) -> None:
    mode = arguments.get("mode")
    if mode == "replace_window" and resource.window_filter is WindowFilter.NONE:
        raise InvalidArgumentError("mode", mode, f"{resource.name} have no window; give it by resource, {{'events': ...}}")
    if mode == "upsert" and resource.key is None and arguments.get("key_columns") is None:
        raise InvalidArgumentError("mode", mode, f"nothing identifies {resource.name} by itself: name key_columns, by resource")


def _is_known(value: object) -> bool:
    if isinstance(value, (Mapping, list, tuple)):
        return all(map(_is_known, (*value, *value.values()) if isinstance(value, Mapping) else value))
    return "{{" not in value and "{%" not in value if isinstance(value, str) else isinstance(value, (int, dt.date, type(None)))

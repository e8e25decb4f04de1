"""A Spiffy Stores shop through its hook, and its customers into a running Custobar sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_custobar.api import errors
from airflow_provider_custobar.get_provider_info import get_provider_info
from airflow_provider_custobar.hooks.spiffy_stores import SpiffyStoresHook
from airflow_provider_custobar.sandbox import CustobarSandbox, Fault, SpiffyStoresSandbox
from airflow_provider_custobar.sandbox.log import RequestRecord
from airflow_provider_custobar.transfers.spiffy_stores_to_custobar import SpiffyStoresToCustobarOperator
from tests.airflow.attempts import FileStore
from tools.airflow_home import PROJECT, AirflowHome, connection_variables

UNHURRIED = 600_000
Connect = Callable[[str, str], None]


@pytest.fixture
def tenant(custobar_sandbox_factory: Callable[..., CustobarSandbox], connect: Connect) -> CustobarSandbox:
    """A tenant of Helsinki without customers."""
    sandbox = custobar_sandbox_factory(generate=False)
    sandbox.settings.rate_limit = 1_000_000
    connect("custobar_default", sandbox.airflow_connection(requests_per_minute=UNHURRIED, timezone="Europe/Helsinki"))
    return sandbox


@pytest.fixture
def store(spiffy_sandbox: SpiffyStoresSandbox, connect: Connect) -> SpiffyStoresSandbox:
    """A shop of 120 customers."""
    connect("spiffy_stores_default", spiffy_sandbox.airflow_connection(requests_per_minute=UNHURRIED))
    return spiffy_sandbox


@pytest.fixture
def small(spiffy_sandbox_factory: Callable[..., SpiffyStoresSandbox], connect: Connect) -> SpiffyStoresSandbox:
    """A shop without customers."""
    sandbox = spiffy_sandbox_factory(generate=False)
    connect("spiffy_stores_default", sandbox.airflow_connection(requests_per_minute=UNHURRIED))
    return sandbox


def operator(**arguments: Any) -> SpiffyStoresToCustobarOperator:
    return SpiffyStoresToCustobarOperator(task_id="customers", **arguments)


def run(context: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    result = operator(**arguments).execute(context or {})
    assert json.loads(json.dumps(result)) == result
    return result


def sent(tenant: CustobarSandbox) -> list[dict[str, Any]]:
    return [row for upload in tenant.uploads for row in upload.rows]


def ids(tenant: CustobarSandbox) -> list[str]:
    return [row["external_id"] for row in sent(tenant)]


def test_test_connection(store: SpiffyStoresSandbox, connect: Connect) -> None:
    """Rule: the button makes one request, names the store or what is wrong, and waits for no second try."""
    assert SpiffyStoresHook().test_connection() == (True, f"{store.url} is the store Sandbox Outfitters")
    connect("shop", json.dumps({"conn_type": "spiffy_stores", "host": store.url, "password": store.access_token}))
    assert SpiffyStoresHook("shop").test_connection()[0]
    connect("shop", json.dumps({"conn_type": "spiffy_stores", "host": store.url, "password": "wrong-one"}))
    is_good, message = SpiffyStoresHook("shop").test_connection()
    assert (is_good, "401 for store" in message, "wrong-one" in message) == (False, True, False)
    store.faults.add(Fault("status", status=500))
    assert SpiffyStoresHook().test_connection()[0] is False
    assert [record.path for record in store.requests] == ["/api/store.json"] * 4
    store.stop()
    assert "No complete answer from" in SpiffyStoresHook().test_connection()[1]


def test_reading(store: SpiffyStoresSandbox) -> None:
    """Rule: lists, searches, counts and single customers are those of the store."""
    hook, stored = SpiffyStoresHook(), store.customers()
    assert [customer["id"] for customer in hook.get_customers()] == [customer["id"] for customer in stored]
    assert [len(page) for page in hook.get_pages(page_size=50)] == [50, 50, 20]
    members = [customer["id"] for customer in stored if customer["accepts_marketing"]]
    filters = {"marketing_status": "accepts_marketing"}
    assert [customer["id"] for customer in hook.get_customers(filters=filters)] == members
    assert (hook.count_customers(), hook.count_customers(filters)) == (120, len(members))
    declined = [c["id"] for c in stored if c["state"] == "declined" and c["accepts_marketing"]]
    assert [c["id"] for c in hook.search_customers({"state": "declined"}, filters=filters)] == declined
    number = stored[0]["id"]
    assert json.loads(json.dumps(hook.get_customer(str(number)), default=float)) == stored[0]
    assert all(not isinstance(value, float) for customer in hook.get_customers() for value in customer.values())


def test_writing(store: SpiffyStoresSandbox) -> None:
    """Rule: a customer is made, changed and removed, and who is not taken or not there is told by kind."""
    hook = SpiffyStoresHook()
    made = hook.create_customer({"email": "new@example.com", "first_name": "N"})
    assert hook.update_customer(made["id"], {"last_name": "X"})["name"] == "N X"
    with pytest.raises(errors.BadRequestError, match="email has already been taken.*does not take this customer"):
        hook.create_customer({"email": "new@example.com"})
    hook.delete_customer(made["id"])
    for call in (hook.get_customer, hook.delete_customer):
        with pytest.raises(errors.NotFoundError, match="check the connection's host, and the customer's id"):
            call(made["id"])
    assert len(store.customers()) == 120


def test_airflow_knows_the_hook() -> None:
    """Rule: Airflow finds the connection type, its form and the hook in the provider's metadata."""
    (entry,) = [each for each in get_provider_info()["connection-types"] if each["connection-type"] == "spiffy_stores"]
    assert entry["hook-class-name"] == f"{SpiffyStoresHook.__module__}.{SpiffyStoresHook.__qualname__}"
    assert entry["connection-type"] == SpiffyStoresHook.conn_type
    assert entry["ui-field-behaviour"] == SpiffyStoresHook.get_ui_field_behaviour()
    assert set(entry["conn-fields"]) == {"requests_per_minute", "timeout", "max_attempts", "verify"}


PREFIXES = {"AU": "61", "NZ": "64", "GB": "44", "US": "1", "DE": "49", "JP": "81"}
NONSENSE = ("n/a", "12345", "call after 5 pm", "same as above", "000")
NAMES = {
    "email": "email", "first_name": "first_name", "last_name": "last_name", "accepts_marketing": "can_email",
    "created_at": "date_joined", "last_sign_in_at": "last_login", "wholesale": "ACME__wholesale",
}  # fmt: skip
ADDRESS_NAMES = {"company": "company", "city": "city", "province": "province", "zip": "zip_code", "country_code": "country"}


def expected(customer: dict[str, Any]) -> dict[str, Any]:
    """What Custobar should have of a generated customer, written once more in the plainest way."""
    address = customer["default_address"] or {}
    row = {target: customer[name] for name, target in NAMES.items()}
    row |= {target: address.get(name) for name, target in ADDRESS_NAMES.items()}
    row["external_id"] = f"spiffy-{customer['id']}"
    row["tags"] = customer["tags"].split(", ") if customer["tags"] else None
    row["street_address"] = ", ".join(filter(None, (address.get("address1"), address.get("address2"))))
    row["ACME__total_spent"] = round(Decimal(str(customer["total_spent"])) * 100)
    phone = address.get("phone")
    if phone and phone not in NONSENSE:
        digits = "".join(filter(str.isdigit, phone))
        row["phone_number"] = f"+{digits}" if phone[0] == "+" else f"+{PREFIXES[address['country_code']]}{digits.lstrip('0')}"
    return {name: value for name, value in row.items() if value not in (None, "")}


ALL: dict[str, Any] = {"id_prefix": "spiffy-", "company": "acme", "company_fields": ["total_spent", "wholesale"]}


def test_all_customers(tenant: CustobarSandbox, store: SpiffyStoresSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: every customer of the shop is in Custobar, each field as a plain mapping says; what was left out is counted."""
    result = run(**ALL)
    wanted = [expected(customer) for customer in store.customers()]
    assert sent(tenant) == wanted
    held = {record["external_id"]: record for record in tenant.records("customers")}
    assert {number: record.get("email") for number, record in held.items()} == {r["external_id"]: r["email"] for r in wanted}
    assert (result["rows"], result["uploaded"], result["rejected"], result["duplicates"]) == (120, 120, 0, 0)
    nonsense = sum((c["default_address"] or {}).get("phone") in NONSENSE for c in store.customers())
    assert result["phones_left_out"] == nonsense > 0
    assert f"{nonsense} telephone numbers could not be made E.164" in capsys.readouterr().out
    pages = [record for record in store.requests if record.path == "/api/customers.json"]
    assert (len(pages), len(store.requests)) == (4, 5)


EDGES = {
    "20T07:59:59": False, "20T08:00:00": True, "20T23:00:00": True, "21T07:59:59": True, "21T08:00:00": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "context"),
    [
        ({"date": "2026-02-20"}, {}),
        ({"window_start": "2026-02-20", "window_end": "2026-02-21"}, {}),
        ({"window_start": "2026-02-19T22:00:00Z", "window_end": datetime(2026, 2, 20, 22, tzinfo=UTC)}, {}),
        ({"window": "auto"}, {"data_interval_start": datetime(2026, 2, 19, 22, tzinfo=UTC),
                              "data_interval_end": datetime(2026, 2, 20, 22, tzinfo=UTC)}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("settings", [("id", "offset"), ("-id", "offset"), ("updated_at", "utc")])
def test_a_period(
    tenant: CustobarSandbox,
    small: SpiffyStoresSandbox,
    arguments: dict[str, Any],
    context: dict[str, Any],
    settings: tuple[str, str],
) -> None:
    """Rule: only those go whose own updated_at lies in the tenant's period; the shop is asked for a day more on each side."""
    small.settings.order, small.settings.timestamps = settings
    small.settings.inclusive_bounds = False
    small.load({"updated_at": f"2026-02-{edge}+10:00", "note": edge} for edge in EDGES)
    run(context, **arguments)
    wanted = [str(customer["id"]) for customer in small.customers() if EDGES[customer["note"]]]
    assert sorted(ids(tenant)) == wanted
    asked = {(r.query["updated_at_min"][0], r.query["updated_at_max"][0]) for r in small.requests}
    assert asked == {("2026-02-18 22:00", "2026-02-21 22:00")}


@pytest.mark.parametrize(("updated_at", "goes"), [(None, True), ("", True), ("soon", True), ("2026-02-20T21:59:59", True),
                                                   ("2026-02-20T22:00:00", False)])  # fmt: skip
def test_times_without_an_offset_or_sense(updated_at: object, goes: bool) -> None:
    """Rule: a time without an offset is UTC; who has no time of change is sent rather than lost."""
    from airflow_provider_custobar.api.windows import build_window
    from airflow_provider_custobar.transfers.spiffy_stores_to_custobar import _changed_in

    window = build_window(date="2026-02-20", timezone="Europe/Helsinki")
    assert window is not None
    assert _changed_in(window, {"updated_at": updated_at}) is goes


def test_changes_while_it_is_read(tenant: CustobarSandbox, store: SpiffyStoresSandbox) -> None:
    """Rule: customers that come, go or change between pages make nobody twice or missing."""
    first, last = store.customers()[0]["id"], store.customers()[-1]["id"]

    def change(request: RequestRecord) -> None:
        if len(store.requests) == 1:
            store.touch(first, first_name="Changed")
            store.touch(last, first_name="Changed")
            store.delete(store.customers()[1]["id"])
            store.load([{"email": "new@example.com"}])

    store.before_answer(change)
    result = run()
    names = {row["external_id"]: row.get("first_name") for row in sent(tenant)}
    assert {str(customer["id"]) for customer in store.customers()} <= set(names)
    assert len(sent(tenant)) == len(names) == result["uploaded"] == 121
    assert (names[str(first)] != "Changed", names[str(last)]) == (True, "Changed")


def test_one_address_for_two(tenant: CustobarSandbox, small: SpiffyStoresSandbox) -> None:
    """Rule: two customers with one e-mail address stay two by their ids."""
    small.load([{"email": "a@example.com", "first_name": "A"}, {"email": "A@example.com", "first_name": "B"}])
    assert run()["duplicates"] == 0
    assert [(row["external_id"], row["first_name"]) for row in sent(tenant)] == [("1001", "A"), ("1002", "B")]


def test_a_wrong_password_sends_nothing(tenant: CustobarSandbox, store: SpiffyStoresSandbox, connect: Connect) -> None:
    """Rule: a shop that does not let the run in fails it before Custobar hears of it, and without the password."""
    connect("spiffy_stores_default", store.airflow_connection().replace(store.password, "wrong-one"))
    with pytest.raises(errors.AuthenticationError, match="check the API key") as caught:
        run()
    assert (tenant.requests, len(store.requests), "wrong-one" in str(caught.value)) == ([], 1, False)


def test_a_busy_shop_is_waited_for(tenant: CustobarSandbox, store: SpiffyStoresSandbox) -> None:
    """Rule: a 429 in the middle, and a dropped page, cost no customer and no second one."""
    store.faults.add(Fault("status", status=429, retry_after=1, after=1))
    store.faults.add(Fault("drop", after=3))
    assert run()["uploaded"] == 120
    assert ids(tenant) == [str(customer["id"]) for customer in store.customers()]


def test_rejects(tenant: CustobarSandbox, small: SpiffyStoresSandbox, tmp_path: Path) -> None:
    """Rule: a customer whom Custobar would not take stops the run before anything is sent, or is set aside with reasons."""
    small.load([{"email": "a@example.com"}, {"email": "no address"}, {"default_address": {"country_code": "Australia"}}])
    with pytest.raises(errors.CustobarError, match="email must be an e-mail address"):
        run()
    assert tenant.requests == []
    result = run(on_invalid="skip", rejects_path=f"file://{tmp_path}/rejects.jsonl")
    assert (result["uploaded"], result["rejected"], ids(tenant)) == (1, 2, ["1001"])
    found = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(each["position"], each["row"]["external_id"]) for each in found] == [(1, "1002"), (2, "1003")]
    assert "country must be a country code of two letters" in found[1]["reasons"][0]


def test_dry_run(tenant: CustobarSandbox, store: SpiffyStoresSandbox) -> None:
    """Rule: a dry run reads and checks everything and sends nothing."""
    assert run(dry_run=True, **ALL)["rows"] == 120
    assert (tenant.requests, len(store.requests)) == ([], 5)


def test_the_next_attempt_goes_on(
    tenant: CustobarSandbox, store: SpiffyStoresSandbox, tmp_path: Path, connect: Callable[[str, str], None]
) -> None:
    """Rule: after a batch that failed, the next attempt sends the rest, and nobody again."""
    context = {"task_state_store": FileStore(tmp_path / "state.json")}
    tenant.faults.add(Fault("status", status=500, method="POST", times=None, after=2))
    connect("custobar_default", tenant.airflow_connection(requests_per_minute=600_000, max_attempts=1))
    with pytest.raises(errors.ServerError):
        run(context, batch_size=25)
    tenant.faults.clear()
    assert len(ids(tenant)) == 50
    result = run(context, batch_size=25)
    assert (result["resumed"], result["uploaded"]) == (True, 120)
    assert ids(tenant) == [str(customer["id"]) for customer in store.customers()]


def test_templates(tenant: CustobarSandbox, small: SpiffyStoresSandbox) -> None:
    """Rule: period, filters, search, mapping and prefix may be templates; one that renders to nothing is refused."""
    day = {"updated_at": "2026-02-20T23:00:00+10:00", "title": "Dr", "credit": 1}
    small.load({**day, "accepts_marketing": yes, "name": name} for yes, name in ((True, "Ada"), (False, "Ada"), (True, "B")))
    task = operator(
        date="{{ ds }}", filters={"marketing_status": "{{ wanted }}"}, query="{{ search }}", id_prefix="{{ prefix }}-",
        field_mapping={"title": "{{ company }}__title"}, company="{{ company }}", company_fields=["{{ field }}"],
    )  # fmt: skip
    values = {"ds": "2026-02-20", "wanted": "accepts_marketing", "search": "ada", "prefix": "s", "company": "ACME"}
    task.render_template_fields({**values, "field": "credit"})
    task.execute({})
    assert [(r["external_id"], r["ACME__title"], r["ACME__credit"]) for r in sent(tenant)] == [("s-1001", "Dr", 100)]
    with DAG("dag", schedule=None, render_template_as_native_obj=True):
        lost = operator(date="{{ none }}")
    lost.render_template_fields({"none": None})
    with pytest.raises(errors.InvalidArgumentError, match="date=None is not accepted: its template rendered to nothing"):
        lost.execute({})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"date": "yesterday"}, "date='yesterday'"), ({"window_start": "2026-02-20"}, "window_end"),
        ({"filters": {"status": "x"}}, "filters='status'"), ({"query": " "}, "query=' '"),
        ({"company_fields": ["credit"]}, "company=None"),
        ({"company_fields": "total", "company": "acme"}, "company_fields='total'"),
        ({"field_mapping": {"frist_name": "x"}}, "Did you mean 'first_name'"),
        ({"field_mapping": {"note": "emial"}, "unknown_fields": "drop"}, "'emial' is not a field of customers"),
        ({"field_mapping": {"note": ""}}, "give 'note' the name of a field of Custobar's, or None"),
        ({"resource": "sales"}, "resource='sales'.*the shop's customers are customers"), ({"window": "day"}, "window='day'"),
        ({"window": "auto", "date": "2026-02-20"}, "either window or date, not both"),
        ({"on_invalid": "x"}, "on_invalid='x'"), ({"batch_size": 0}, "batch_size=0"),
        ({"filters": "{'ids': '1'}"}, "filters="),
        ({"date": "2026-02-20", "filters": {"updated_at_min": "2026-02-20T12:00"}}, "updated_at_min"),
        ({"clear_empty": "False"}, "clear_empty="),
        ({"id_prefix": "shop_"}, "id_prefix='shop_'"),
    ],
)  # fmt: skip
def test_bad_arguments(tenant: CustobarSandbox, store: SpiffyStoresSandbox, arguments: dict[str, Any], said: str) -> None:
    """Rule: wrong arguments are told by name and value, before either side gets a request."""
    try:
        with pytest.raises(errors.InvalidArgumentError, match=said):
            run(**arguments)
    finally:
        assert tenant.requests == store.requests == []


@pytest.mark.processes
def test_the_example(tenant: CustobarSandbox, small: SpiffyStoresSandbox, airflow_home: AirflowHome) -> None:
    """Rule: the example DAG, run by Airflow, brings those who changed on its day and keeps the credentials to itself."""
    small.load([{"title": "Dr", "email": f"{n}@example.com", "total_spent": "1.50", "wholesale": True} for n in range(4)])
    for number, moment in enumerate(("20T09:59:59", "20T10:00:00", "21T09:59:59", "21T10:00:00"), 1001):
        small.touch(number, updated_at=f"2026-02-{moment}+10:00")
    connections = {"custobar_default": tenant.airflow_connection(), "spiffy_stores_default": small.airflow_connection()}
    file = PROJECT / "dags_examples" / "custobar_spiffy_customers.py"
    environment = connection_variables(connections)
    (outcome,) = airflow_home.run_dag(file, "custobar_spiffy_customers", ["2026-02-20"], environment=environment)
    assert outcome.states == {"customers": "success"}, outcome.log
    assert (outcome.results["customers"]["uploaded"], outcome.results["customers"]["phones_left_out"]) == (2, 0)
    held = {record["external_id"]: record["email"] for record in tenant.records("customers")}
    assert held == {"spiffy-1002": "1@example.com", "spiffy-1003": "2@example.com"}
    own = {"ACME__title": "Dr", "ACME__total_spent": 150, "ACME__wholesale": True}
    assert all(own.items() <= row.items() for row in sent(tenant))
    assert not any(secret in outcome.log for secret in (small.password, small.key + ":", tenant.token))

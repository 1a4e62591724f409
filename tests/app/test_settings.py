"""Settings come from the environment, and what is wrong with them is told in one line each, without their values."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from api.signing_keys import SigningKey
from app.settings import (
    SETTINGS,
    InvalidSettings,
    LogFormat,
    load_database_settings,
    load_migration_settings,
    load_processor_settings,
    load_settings,
    passed_on,
)
from app.settings_group import Environment
from app.signing_keys_file import OVERLAP_MIN, read_keys, rotate
from domain.currencies import Currency
from persistence.roles import ApplicationRole
from tests.support.clock import START

CANARY = "canary5f1c"
GOOD = {
    "DATABASE_URL": "postgresql://florin:hunter2@db:5432/florin",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "AUTH_SIGNING_KEY": base64.b64encode(bytes(32)).decode(),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing set but what must be."""
    known = {name.upper() for name in SETTINGS}
    for name in list(os.environ):
        if name.upper() in known:
            monkeypatch.delenv(name)
    _set(monkeypatch, GOOD)
    return monkeypatch


def _set(environment: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def test_a_file_of_signing_keys_is_enough(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    environment.setenv("AUTH_SIGNING_KEYS_FILE", str(path))
    assert _complaint().startswith("AUTH_SIGNING_KEYS_FILE is not valid: ")
    rotate(path, START, overlap=OVERLAP_MIN)
    environment.delenv("AUTH_SIGNING_KEY")
    assert load_settings().tokens().keys().keys == read_keys(path).keys


def test_of_several_signing_keys_the_first_signs(environment: pytest.MonkeyPatch) -> None:
    other = base64.b64encode(b"2" * 32).decode()
    environment.setenv("AUTH_SIGNING_KEY", f"{other}, {GOOD['AUTH_SIGNING_KEY']}")
    keys = load_settings().tokens().keys()
    assert [key.id for key in keys.keys] == [
        SigningKey.from_text(each).id for each in (other, GOOD["AUTH_SIGNING_KEY"])
    ]
    assert keys.signing(START) is keys.keys[0]
    environment.setenv("AUTH_SIGNING_KEY", f"{other},{CANARY}")
    assert _complaint().startswith("AUTH_SIGNING_KEY is not valid: ")
    assert CANARY not in _complaint()


def test_the_defaults_are_those_of_production() -> None:
    settings = load_settings()
    assert settings.environment is Environment.PRODUCTION
    assert settings.graphiql() is None
    assert settings.log_format is LogFormat.JSON
    assert settings.stripe().api_base == "https://api.stripe.com"
    assert settings.customers_may_refund is True
    assert settings.live is False


def test_amounts_are_read_in_their_currencies_own_units(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REFUND_APPROVAL_ABOVE", "USD 500.00, jpy 70000,KWD 0.5, EUR 0")
    assert load_settings().refund_policy().approval_above == {
        Currency.USD: 50_000,
        Currency.JPY: 70_000,
        Currency.KWD: 500,
        Currency.EUR: 0,
    }


@pytest.mark.parametrize("name", GOOD)
def test_what_is_missing_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    assert _complaint() == f"{name} is not set. See docs/settings.md."


def test_everything_that_is_missing_is_named_at_once(environment: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        environment.delenv(name)
    assert [line.split()[0] for line in _complaint().splitlines()] == list(GOOD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", CANARY),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", f"mysql://florin:{CANARY}@db/florin"),
        ("DATABASE_URL", f"postgresql://florin:{CANARY}@db:port/florin"),
        ("DATABASE_POOL_SIZE", CANARY),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "201"),
        ("STRIPE_SECRET_KEY", f"{CANARY} with a space"),
        ("STRIPE_SECRET_KEY", ""),
        ("STRIPE_WEBHOOK_SECRET", CANARY),
        ("STRIPE_WEBHOOK_SECRET", ""),
        ("STRIPE_WEBHOOK_SECRET", f"whsec_1,{CANARY}"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_1,"),
        ("STRIPE_API_BASE", CANARY),
        ("STRIPE_API_BASE", f"ftp://{CANARY}"),
        ("STRIPE_DEADLINE_SECONDS", "0"),
        ("STRIPE_DEADLINE_SECONDS", "16"),
        ("STRIPE_DEADLINE_SECONDS", "nan"),
        ("AUTH_SIGNING_KEY", CANARY),
        ("AUTH_SIGNING_KEY", ""),
        ("AUTH_SIGNING_KEY", base64.b64encode(bytes(31)).decode()),
        ("AUTH_SIGNING_KEY", "ä" * 43),
        ("AUTH_ISSUER", ""),
        ("AUTH_AUDIENCE", ""),
        ("CUSTOMERS_MAY_REFUND", CANARY),
        ("REFUND_APPROVAL_ABOVE", CANARY),
        ("REFUND_APPROVAL_ABOVE", f"USD {CANARY}"),
        ("REFUND_APPROVAL_ABOVE", "500"),
        ("REFUND_APPROVAL_ABOVE", "XXX 500"),
        ("REFUND_APPROVAL_ABOVE", "USD NaN"),
        ("REFUND_APPROVAL_ABOVE", "USD 1E+999999"),
        ("REFUND_APPROVAL_ABOVE", "USD -1"),
        ("REFUND_APPROVAL_ABOVE", "JPY 500.5"),
        ("REFUND_APPROVAL_ABOVE", "USD 500, USD 600"),
        ("PAYMENT_RETURN_URL", CANARY),
        ("PAYMENT_RETURN_URL", f"javascript:{CANARY}"),
        ("ENVIRONMENT", CANARY),
        ("GRAPHIQL_TOKENS", CANARY),
        ("GRAPHIQL_TOKENS", json.dumps([CANARY])),
        ("GRAPHIQL_TOKENS", json.dumps({"customer": {"token": CANARY}})),
        ("PORT", CANARY),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("LOG_FORMAT", CANARY),
        ("LOG_LEVEL", CANARY),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "101"),
    ],
)
def test_what_is_malformed_is_named_and_not_repeated(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    complaint = _complaint()
    assert len(complaint.splitlines()) == 1
    assert name in complaint
    assert CANARY not in complaint
    assert complaint.endswith(".")


def test_a_live_key_is_only_sent_over_https(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STRIPE_SECRET_KEY", "sk_" + "live_1")
    assert load_settings().live is True
    environment.setenv("STRIPE_API_BASE", "http://127.0.0.1:12111")
    assert "STRIPE_API_BASE" in _complaint()


def test_a_command_that_serves_nobody_needs_no_secret_of_a_servers(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AUTH_SIGNING_KEY")
    environment.delenv("STRIPE_WEBHOOK_SECRET")
    assert load_processor_settings().live is False
    environment.setenv("STRIPE_API_BASE", "nowhere")
    with pytest.raises(InvalidSettings, match="STRIPE_API_BASE"):
        load_processor_settings()
    assert "AUTH_SIGNING_KEY is not set" in _complaint()


def test_two_webhook_secrets_while_one_is_rotated(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("STRIPE_WEBHOOK_SECRET", "whsec_1, whsec_2")
    secrets = [secret.get_secret_value() for secret in load_settings().stripe_webhook_secret]
    assert secrets == ["whsec_1", "whsec_2"]


def test_tokens_are_never_handed_out_in_production(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GRAPHIQL_TOKENS", json.dumps({"customer": CANARY}))
    complaint = _complaint()
    assert "GRAPHIQL_TOKENS" in complaint
    assert CANARY not in complaint
    environment.setenv("ENVIRONMENT", "development")
    page = load_settings().graphiql()
    assert page is not None
    assert [token.token for token in page.tokens] == [CANARY]
    assert page.default_headers == {"Authorization": f"Bearer {CANARY}"}
    # A label that the page needs for itself.
    environment.setenv("GRAPHIQL_TOKENS", json.dumps({"anonymous": CANARY}))
    complaint = _complaint()
    assert complaint.startswith("GRAPHIQL_TOKENS is not valid: ")
    assert CANARY not in complaint


def test_no_secret_is_in_a_repr(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ENVIRONMENT", "development")
    environment.setenv("GRAPHIQL_TOKENS", json.dumps({"customer": CANARY}))
    settings = load_settings()
    told = repr([settings, settings.database(), settings.stripe(), settings.tokens(), settings.graphiql()])
    for secret in ("hunter2", "sk_test_1", "whsec_1", GOOD["AUTH_SIGNING_KEY"], CANARY):
        assert secret not in told


def test_commands_of_the_database_need_its_address_alone(environment: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        if name != "DATABASE_URL":
            environment.delenv(name)
    assert load_database_settings().database().pool_size == 1
    environment.delenv("DATABASE_URL")
    with pytest.raises(InvalidSettings, match=r"^DATABASE_URL is not set\. See docs/settings\.md\.$"):
        load_database_settings()


def test_migrations_may_have_a_role_of_their_own(environment: pytest.MonkeyPatch) -> None:
    settings = load_migration_settings()
    assert settings.application() is None
    assert settings.migration().url == GOOD["DATABASE_URL"]
    environment.setenv("MIGRATION_DATABASE_URL", GOOD["DATABASE_URL"])
    assert load_migration_settings().application() is None
    owner = "postgresql://owner:secret@db:5432/florin"
    environment.setenv("MIGRATION_DATABASE_URL", owner)
    settings = load_migration_settings()
    assert settings.application() == ApplicationRole(name="florin", password="hunter2")
    assert settings.migration().url == owner
    assert not {"hunter2", "secret"} & set(repr([settings, settings.application(), settings.migration()]).split("'"))
    environment.setenv("MIGRATION_DATABASE_URL", CANARY)
    with pytest.raises(InvalidSettings, match=r"^MIGRATION_DATABASE_URL is not valid: ") as raised:
        load_migration_settings()
    assert CANARY not in str(raised.value)


def test_a_child_process_gets_no_setting_but_those_given(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("log_level", "DEBUG")
    environment.setenv("MIGRATION_DATABASE_URL", GOOD["DATABASE_URL"])
    environment.setenv("SOMETHING_ELSE", "kept")
    environment_of_child = passed_on({"PORT": "0"})
    assert environment_of_child["PORT"] == "0"
    assert environment_of_child["SOMETHING_ELSE"] == "kept"
    assert not {name.upper() for name in environment_of_child} & {*GOOD, "LOG_LEVEL", "MIGRATION_DATABASE_URL"}


def _complaint() -> str:
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    return str(raised.value)


def test_metrics_are_off_and_never_on_the_public_port(environment: pytest.MonkeyPatch) -> None:
    assert load_settings().metrics_port is None
    assert load_settings().metrics_host == "127.0.0.1"
    _set(environment, {"PORT": "8000", "METRICS_PORT": "8000"})
    assert _complaint() == "METRICS_PORT is the public port: metrics are not for the public."
    _set(environment, {"METRICS_PORT": "9464"})
    assert load_settings().metrics_port == 9464


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"MAIL_HOST": "smtp.example", "MAIL_FROM": "nonsense"}, "MAIL_FROM is no email address."),
        (
            {"MAIL_HOST": "smtp.example", "MAIL_FROM": "a@b.example", "MAIL_TLS": "none"},
            "MAIL_TLS is none: what mails hold lets people in, and must not cross a network in the open.",
        ),
        ({"MAIL_FOLDER": "mails"}, "MAIL_FOLDER keeps mails from everybody they are for: never in production."),
        ({"MAIL_LINKS_TO": "javascript:alert(1)"}, "MAIL_LINKS_TO is not valid:"),
        ({"PASSWORD_LENGTH_MIN": "7"}, "PASSWORD_LENGTH_MIN is not valid:"),
    ],
)
def test_mail_that_would_not_be_safe_is_refused(
    environment: pytest.MonkeyPatch, values: Mapping[str, str], told: str
) -> None:
    _set(environment, values)
    assert _complaint().startswith(told)


def test_mail_needs_a_server(environment: pytest.MonkeyPatch) -> None:
    assert (load_settings().sends_mail, load_settings().smtp()) == (False, None)
    _set(environment, {"MAIL_HOST": "smtp.example", "MAIL_FROM": "shop@example.com", "MAIL_PASSWORD": CANARY})
    smtp = load_settings().smtp()
    assert smtp is not None
    assert (smtp.host, smtp.port, smtp.tls, smtp.password) == ("smtp.example", 587, "starttls", CANARY)
    assert CANARY not in repr(load_settings())


PROVIDER = {"issuer": "https://acme.okta.com", "audience": "api://florin"}
CLIENT = {"client_id": "florin", "client_secret": CANARY}

BAD_PROVIDERS: Mapping[str, tuple[str, str]] = {
    "no JSON": ("{" + CANARY, "no JSON object"),
    "a list": ("[]", "no JSON object"),
    "a name that is none": (json.dumps({"Okta Inc": PROVIDER}), "small letters"),
    "no issuer": (json.dumps({"okta": {"audience": "x"}}), "okta.issuer"),
    "an unknown word": (json.dumps({"okta": {**PROVIDER, "verify": False}}), "okta.verify"),
    "nothing to do": (json.dumps({"okta": {"issuer": "https://acme.okta.com"}}), "audience or client_id"),
    "a role that is none": (
        json.dumps({"okta": {**PROVIDER, "roles": {"x": "ROOT"}, "role_claim": "g"}}),
        "okta.roles",
    ),
    "roles without a claim": (json.dumps({"okta": {**PROVIDER, "roles": {"x": "ADMIN"}}}), "belong together"),
    "an algorithm by a shared secret": (json.dumps({"okta": {**PROVIDER, "algorithms": ["HS256"]}}), "okta.algorithms"),
    "no algorithm": (json.dumps({"okta": {**PROVIDER, "algorithms": ["none"]}}), "okta.algorithms"),
    "no TLS": (json.dumps({"okta": {**PROVIDER, "issuer": "http://acme.okta.com"}}), "no https:// URL"),
    "no TLS to this machine": (json.dumps({"okta": {**PROVIDER, "issuer": "http://127.0.0.1:1"}}), "no https:// URL"),
    "a password in the issuer": (
        json.dumps({"okta": {**PROVIDER, "issuer": f"https://u:{CANARY}@x.com"}}),
        "no https://",
    ),
    "one issuer twice": (json.dumps({"a": PROVIDER, "b": PROVIDER}), "twice"),
    "ID tokens as access tokens": (json.dumps({"okta": {**PROVIDER, **CLIENT, "audience": "florin"}}), "ID tokens"),
    "two secrets": (json.dumps({"okta": {**PROVIDER, **CLIENT, "client_secret_file": "/x"}}), "exclude each other"),
    "no secret": (json.dumps({"okta": {**PROVIDER, "client_id": "florin"}}), "a client has a secret"),
    "a file that is not there": (
        json.dumps({"okta": {**PROVIDER, "client_id": "florin", "client_secret_file": f"/{CANARY}"}}),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("why", BAD_PROVIDERS)
def test_identity_providers_that_cannot_be_right_stop_the_start(environment: pytest.MonkeyPatch, why: str) -> None:
    text, told = BAD_PROVIDERS[why]
    environment.setenv("IDENTITY_PROVIDERS", text)
    with pytest.raises(InvalidSettings) as caught:
        load_settings()
    assert told in str(caught.value)
    assert "IDENTITY_PROVIDERS" in str(caught.value)
    assert CANARY not in str(caught.value)


ADDRESSES = {"PUBLIC_URL": "https://pay.example", "SIGN_IN_RETURN_URLS": "https://a.example/x, https://b.example/y"}

BAD_ADDRESSES: Mapping[str, tuple[dict[str, str], str]] = {
    "no public URL": ({"PUBLIC_URL": ""}, "PUBLIC_URL"),
    "no way back": ({"SIGN_IN_RETURN_URLS": ""}, "SIGN_IN_RETURN_URLS"),
    "a public URL without TLS": ({"PUBLIC_URL": "http://pay.example"}, "PUBLIC_URL"),
    "a public URL with a path": ({"PUBLIC_URL": "https://pay.example/"}, "PUBLIC_URL"),
    "a way back without TLS": ({"SIGN_IN_RETURN_URLS": "http://a.example/x"}, "SIGN_IN_RETURN_URLS"),
    "a way back with a query": ({"SIGN_IN_RETURN_URLS": "https://a.example/x?y=1"}, "SIGN_IN_RETURN_URLS"),
    "a way back with a fragment": ({"SIGN_IN_RETURN_URLS": "https://a.example/#x"}, "SIGN_IN_RETURN_URLS"),
    "a way back to a script": ({"SIGN_IN_RETURN_URLS": "javascript:alert(1)"}, "SIGN_IN_RETURN_URLS"),
}


@pytest.mark.parametrize("why", BAD_ADDRESSES)
def test_signing_in_needs_addresses_that_are_safe(environment: pytest.MonkeyPatch, why: str) -> None:
    changes, told = BAD_ADDRESSES[why]
    _set(environment, {"IDENTITY_PROVIDERS": json.dumps({"okta": {**PROVIDER, **CLIENT}}), **ADDRESSES})
    assert load_settings().sign_in_return_urls == ("https://a.example/x", "https://b.example/y")
    _set(environment, changes)
    with pytest.raises(InvalidSettings, match=told):
        load_settings()


def test_our_own_issuer_is_no_provider(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("IDENTITY_PROVIDERS", json.dumps({"okta": PROVIDER}))
    environment.setenv("AUTH_ISSUER", PROVIDER["issuer"])
    with pytest.raises(InvalidSettings, match="AUTH_ISSUER"):
        load_settings()


def test_identity_providers_are_read_and_show_no_secret(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}-file\n")
    providers = {
        "okta": {**PROVIDER, "role_claim": "groups", "roles": {"x": "ADMIN"}},
        "keycloak": {
            "issuer": "https://sso.example/realms/x",
            "client_id": "florin",
            "client_secret_file": str(secret),
        },
    }
    environment.setenv("IDENTITY_PROVIDERS", json.dumps(providers))
    _set(environment, ADDRESSES)
    settings = load_settings()
    okta, keycloak = (provider.config(name) for name, provider in settings.identity_providers.items())
    assert (okta.role_claim, dict(okta.roles), okta.sign_in) == (("groups",), {"x": "ADMIN"}, None)
    assert okta.token_types == {"at+jwt", "application/at+jwt"}
    assert keycloak.sign_in is not None
    assert keycloak.sign_in.client_secret == f"{CANARY}-file"
    for shown in (repr(settings), repr(keycloak), str(settings.model_dump())):
        assert CANARY not in shown

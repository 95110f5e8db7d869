"""Settings from the environment, each with the prefix MUTUALITY_. The README's table is tested against this."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.core.mail import SCHEMES
from service.core.networks import networks


def networks_named(text: str | None) -> str | None:
    """The text, if it names networks. Raises ValueError."""
    networks(text)
    return text


def origins_named(text: str | None) -> str | None:
    """The text, if it names origins: a scheme and a host, no path. Raises ValueError."""
    for origin in (text or "").split(",") if text is not None else []:
        parts = urlsplit(origin.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise ValueError("an origin is a scheme and a host, such as https://app.example, without a path")
    return text


IOS_APP_ID = re.compile(r"[A-Z0-9]{10}\.[A-Za-z0-9.-]+")
ANDROID_APP = re.compile(r"([A-Za-z0-9_.]+)=((?:[0-9A-F]{2}:){31}[0-9A-F]{2})")


def named(text: str | None) -> list[str]:
    """The parts of a setting that is a list."""
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def ios_ids_named(text: str | None) -> str | None:
    """The text, if it names apps of iOS. Raises ValueError."""
    if not all(map(IOS_APP_ID.fullmatch, named(text))):
        raise ValueError("an id is a team and a bundle, such as ABCDE12345.app.example")
    return text


def android_apps_named(text: str | None) -> str | None:
    """The text, if it names apps of Android. Raises ValueError."""
    if not all(map(ANDROID_APP.fullmatch, named(text))):
        raise ValueError("an app is its package and the SHA-256 of its certificate: app.example=AB:CD:… (32 bytes)")
    return text


def mail_server(text: str | None) -> str | None:
    """The text, if it is the address of a mail server. Raises ValueError."""
    if text is not None and (text.partition("://")[0] not in SCHEMES or not urlsplit(text).hostname):
        raise ValueError(f"it must begin with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
    return text


class Settings(BaseSettings):
    """What an operator can set. Units stand in the descriptions."""

    model_config = SettingsConfigDict(env_prefix="MUTUALITY_", extra="ignore")

    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port to listen on")] = 8000
    database_url: Annotated[
        str | None, Field(description="PostgreSQL 15 to 18; unset: an embedded PostgreSQL under DATA_DIR")
    ] = None
    data_dir: Annotated[Path, Field(description="folder of the embedded PostgreSQL")] = Path(".data")
    keys_dir: Annotated[
        Path | None, Field(description="folder of the root key and the epoch keys; unset: keys under DATA_DIR")
    ] = None
    smtp_url: Annotated[
        str | None,
        AfterValidator(mail_server),
        Field(
            description="smtp:// (with STARTTLS, which only a server on this machine may lack), smtps:// or "
            "smtp+plain:// (never encrypted), with user and password if needed; unset: mail is printed"
        ),
    ] = None
    mail_from: Annotated[str, Field(description="sender of mails")] = "mutuality@localhost"
    workers: Annotated[
        Annotated[int, Field(ge=1, le=64)] | Literal["auto"],
        Field(description="processes that serve; auto: one a core, less one for an embedded PostgreSQL"),
    ] = 1
    rotate_keys_after_days: Annotated[
        int,
        Field(ge=0, description="age in days at which serve rotates the key epoch; 0: by hand, rotate-keys"),
    ] = 28
    public_url: Annotated[str | None, Field(description="address under which phones reach the service")] = None
    ios_app_ids: Annotated[
        str | None,
        AfterValidator(ios_ids_named),
        Field(description="team and bundle ids (TEAMID.app.example), comma-separated, of apps that open invites"),
    ] = None
    android_apps: Annotated[
        str | None,
        AfterValidator(android_apps_named),
        Field(description="packages and certificates (app.example=AB:CD:…), comma-separated, of apps that open them"),
    ] = None
    cors_origins: Annotated[
        str | None,
        AfterValidator(origins_named),
        Field(description="origins, comma-separated, whose pages may call the API (https://app.example); unset: none"),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least level that is logged")
    ] = "info"
    metrics_port: Annotated[
        int | None,
        Field(ge=0, le=65535, description="port on HOST for figures of Prometheus; unset: nothing is counted"),
    ] = None
    otlp_url: Annotated[
        str | None,
        Field(description="collector of OpenTelemetry (http://localhost:4318/v1/traces), after `make otel`"),
    ] = None
    database_connections: Annotated[
        int,
        Field(
            ge=2,
            le=100,
            description="connections to PostgreSQL, at most, beside 31 for sign-ins, writing, keys and prompts",
        ),
    ] = 10
    sign_ins_per_hour: Annotated[
        int,
        Field(ge=0, description="codes asked for, and wrong codes, per client address and hour; 0: no limit"),
    ] = 60
    requests_per_minute: Annotated[int, Field(ge=0, description="requests per member and minute; 0: no limit")] = 600
    entries_per_minute: Annotated[
        int, Field(ge=0, description="entries in queues (sync) per member and minute; 0: no limit")
    ] = 3000
    invite_tries_per_hour: Annotated[
        int, Field(ge=0, description="invite codes tried per member and hour; 0: no limit")
    ] = 20
    trusted_proxies: Annotated[
        str | None,
        AfterValidator(networks_named),
        Field(description="networks, comma-separated, whose X-Forwarded-For is believed; unset: nobody's"),
    ] = None
    apple_client_ids: Annotated[
        str | None, Field(description="bundle and services ids, comma-separated; unset: no sign-in with Apple")
    ] = None
    apple_keys_url: Annotated[str, Field(description="where Apple publishes its keys")] = (
        "https://appleid.apple.com/auth/keys"
    )
    google_client_ids: Annotated[
        str | None, Field(description="OAuth client ids, comma-separated; unset: no sign-in with Google")
    ] = None
    google_keys_url: Annotated[str, Field(description="where Google publishes its keys")] = (
        "https://www.googleapis.com/oauth2/v3/certs"
    )
    push: Annotated[
        Literal["inside", "off"],
        Field(description="inside: the service plans and sends prompts itself; off: python -m service push does"),
    ] = "inside"
    apns_key_file: Annotated[
        Path | None, Field(description="the .p8 file of a key for Apple's pushes; unset: pushes to iOS are printed")
    ] = None
    apns_key_id: Annotated[str | None, Field(description="id of that key, 10 characters")] = None
    apns_team_id: Annotated[str | None, Field(description="id of the team that it belongs to, 10 characters")] = None
    apns_topic: Annotated[str | None, Field(description="bundle id of the app")] = None
    apns_url: Annotated[str, Field(description="Apple's push service for released apps")] = "https://api.push.apple.com"
    apns_sandbox_url: Annotated[str, Field(description="Apple's push service for apps in development")] = (
        "https://api.sandbox.push.apple.com"
    )
    fcm_account_file: Annotated[
        Path | None,
        Field(description="JSON file of a Firebase service account; unset: pushes to Android are printed"),
    ] = None
    fcm_url: Annotated[str, Field(description="Firebase Cloud Messaging")] = "https://fcm.googleapis.com"
    vapid_key_file: Annotated[
        Path | None,
        Field(
            description="PEM file of a P-256 key that browsers subscribe with; unset: pushes to browsers are printed"
        ),
    ] = None
    vapid_subject: Annotated[
        str | None, Field(description="mailto: or https: address at which push services reach you")
    ] = None

"""Where telemetry goes, as the environment says. Read without importing any SDK: most hosts send nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

AZURE_VARIABLE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
SAMPLER_VARIABLE = "OTEL_TRACES_SAMPLER"
_OTLP = "OTEL_EXPORTER_OTLP"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROOT_SAMPLERS = ("always_on", "always_off", "traceidratio")
_SAMPLERS = (*_ROOT_SAMPLERS, *(f"parentbased_{name}" for name in _ROOT_SAMPLERS))
#: what Azure's packages would contact besides the endpoint: statistics about themselves, remote settings, the metadata
#: service of a virtual machine. An operator who wants it sets the variable himself.
_QUIET = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel",
}

#: names the process that a telemetry relay speaks for
TOLD_FOR = "DURABLE_TELEMETRY_TOLD_FOR"


def told_process() -> int:
    """Return the id of the process whose acts are told: this one, or the worker that a relay speaks for."""
    return int(os.environ.get(TOLD_FOR) or os.getpid())


class Signal(StrEnum):
    """What can be exported; the texts are those of OpenTelemetry's variables."""

    TRACES = "TRACES"
    LOGS = "LOGS"
    METRICS = "METRICS"


class Protocol(StrEnum):
    """How OTLP is spoken."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where each signal goes."""

    #: connection string of Application Insights; empty for none. A secret: it is never shown
    azure: str = field(default="", repr=False)
    azure_signals: frozenset[Signal] = frozenset()
    otlp: Mapping[Signal, Protocol] = field(default_factory=dict)
    #: what the environment says that cannot be done, for people; never with a value that may be secret
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.azure_signals or self.otlp)


@lru_cache(maxsize=1)
def destinations() -> Destinations:
    """Return where telemetry goes; read once in a process."""
    return read(os.environ)


def read(env: Mapping[str, str]) -> Destinations:
    """Return what an environment asks for. What is wrong in it is left out and becomes one of ``problems``."""
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Destinations()
    problems: list[str] = []
    signals = [signal for signal in Signal if _is_wanted(env, signal, problems)]
    otlp = {signal: protocol for signal in signals if (protocol := _otlp_protocol(env, signal, problems))}
    azure = env.get(AZURE_VARIABLE, "").strip()
    if azure and (trouble := _azure_trouble(azure)):
        problems.append(f"{AZURE_VARIABLE} {trouble} Nothing is sent to Application Insights.")
        azure = ""
    sampler = env.get(SAMPLER_VARIABLE, "").strip().lower()
    if sampler and sampler not in _SAMPLERS:
        problems.append(f"{SAMPLER_VARIABLE} is {sampler!r}; known are {', '.join(_SAMPLERS)}. Every trace is kept.")
    return Destinations(
        azure=azure.strip(";"),
        azure_signals=frozenset(signals) if azure else frozenset(),
        otlp=otlp,
        problems=tuple(dict.fromkeys(problems)),
    )


def is_sampler_chosen() -> bool:
    """Whether the operator has asked for a sampler that there is."""
    return os.environ.get(SAMPLER_VARIABLE, "").strip().lower() in _SAMPLERS


def keep_quiet() -> None:
    """Switch off whatever the packages would contact besides the configured endpoints."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def _is_wanted(env: Mapping[str, str], signal: Signal, problems: list[str]) -> bool:
    """Whether a signal is exported; ``none`` switches it off, the endpoints say where it goes."""
    name = f"OTEL_{signal}_EXPORTER"
    chosen = env.get(name, "").strip().lower()
    if chosen not in {"", "none", "otlp"}:
        problems.append(f"{name} is {chosen!r}; known are none and otlp. It is ignored.")
    return chosen != "none"


def _otlp_protocol(env: Mapping[str, str], signal: Signal, problems: list[str]) -> Protocol | None:
    """Return how a signal goes to OTLP; None where it does not."""

    def setting(what: str) -> tuple[str, str]:
        own = f"{_OTLP}_{signal}_{what}"
        name = own if env.get(own, "").strip() else f"{_OTLP}_{what}"
        return name, env.get(name, "").strip()

    endpoint_name, endpoint = setting("ENDPOINT")
    if not endpoint:
        return None
    protocol_name, protocol = setting("PROTOCOL")
    if protocol and protocol not in set(Protocol):
        known = " and ".join(Protocol)
        problems.append(f"{protocol_name} is {protocol!r}; known are {known}. Nothing is sent over OTLP by it.")
        return None
    chosen = Protocol(protocol or Protocol.HTTP)
    if not _is_address(endpoint, is_scheme_needed=chosen is Protocol.HTTP):
        problems.append(
            f"{endpoint_name} is no address as http://collector:4318 (or :4317 for grpc). Nothing is sent to it."
        )
        return None
    return chosen


def _is_address(text: str, *, is_scheme_needed: bool) -> bool:
    try:
        parts = urlsplit(text if is_scheme_needed or "://" in text else f"http://{text}")
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _azure_trouble(connection_string: str) -> str:
    """Return what is wrong with a connection string, without any part of it."""
    parts = [part.partition("=") for part in connection_string.strip(";").split(";")]
    if not all(key.strip() and sign for key, sign, _ in parts):
        return "is not of the form InstrumentationKey=…;IngestionEndpoint=…."
    values = {key.strip().lower(): value.strip() for key, _, value in parts}
    if not _UUID.fullmatch(values.get("instrumentationkey", "")):
        return "has no InstrumentationKey that is a UUID in lower case."
    endpoint = values.get("ingestionendpoint")
    if endpoint is not None and not _is_address(endpoint, is_scheme_needed=True):
        return "has an IngestionEndpoint that is no address."
    return ""

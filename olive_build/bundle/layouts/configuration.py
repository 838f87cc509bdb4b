"""config.json as the client reads it: the settings for it, by device and by file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olive_build.bundle.layouts.findings import Code, Finding
from olive_build.targets.client import Client, Device

CONFIG = "config.json"
SETTINGS = "transformers.js_config"


@dataclass(frozen=True)
class Settings:
    """What config.json says under `transformers.js_config` (src/models/session.js, getSession)."""

    config: Mapping[str, Any]
    client: Client

    @property
    def own(self) -> Mapping[str, Any]:
        """The settings for the client; none where they are no object."""
        return _mapping(self.config.get(SETTINGS))

    def on(self, device: Device) -> Mapping[str, Any]:
        """Return the settings on a device: those of `device_config` go before the others."""
        devices = _mapping(self.own.get("device_config"))
        return {**self.own, **_mapping(devices.get(device.name))}

    def device_named(self, session: str) -> str | None:
        """Return the device that config.json names for a session, None for the default."""
        named = self.own.get("device")
        chosen = named.get(session) if isinstance(named, Mapping) else named
        return chosen if isinstance(chosen, str) else None

    def is_default(self, device: Device, session: str) -> bool:
        """Whether the client takes this device when nobody names one."""
        named = self.device_named(session)
        return device.default if named is None else named == device.name

    def dtype(self, device: Device, session: str) -> str:
        """Return the dtype that the client takes on a device when nobody names one.

        A word that is none is passed over in silence, as the client does (selectDtype).
        """
        settings = self.on(device)
        asked = settings.get("dtype")
        chosen = asked.get(session) if isinstance(asked, Mapping) else asked
        return chosen if chosen in self.client.dtypes else device.dtype

    def chunks(self, device: Device, session: str, file: str) -> int:
        """Return how many files of external data the client fetches for a model, at most.

        It refuses greater numbers (`check_settings`). `file` is the model's name with its suffix
        (src/utils/model-loader.js).
        """
        asked = self.on(device).get("use_external_data_format")
        if isinstance(asked, Mapping):
            asked = asked.get(file, asked.get(session))
        number = asked if isinstance(asked, int) and asked > 0 else 0
        return min(number, self.client.most_chunks)


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with the settings for the client."""
    written = settings.config.get(SETTINGS)
    if written is not None and not isinstance(written, Mapping):
        yield _field(f"'{SETTINGS}' is no object", f"{CONFIG}: {SETTINGS}", "the client finds none")
        return
    own = settings.own
    places: list[tuple[str, Mapping[str, Any]]] = [(SETTINGS, own)]
    for name, inner in _mapping(own.get("device_config")).items():
        places.append((f"{SETTINGS}.device_config.{name}", _mapping(inner)))
    for place, inner in places:
        yield from _check_dtypes(place, inner.get("dtype"), settings.client)
        yield from _check_chunks(place, inner.get("use_external_data_format"), settings.client)
    if "kv_cache_dtype" in own:
        yield Finding(
            Code.BAD_FIELD,
            "note",
            "'kv_cache_dtype' is not read any more",
            f"{CONFIG}: {SETTINGS}.kv_cache_dtype",
            f"{settings.client.title} takes the cache's type from the graph; version 3 reads it",
            "",
        )


def _check_dtypes(place: str, written: object, client: Client) -> Iterator[Finding]:
    named = written if isinstance(written, Mapping) else {"": written}
    for session, dtype in named.items():
        if dtype is None or dtype in (*client.dtypes, "auto"):
            continue
        where = f"{CONFIG}: {place}.dtype" + (f".{session}" if session else "")
        yield Finding(
            Code.BAD_FIELD,
            "warning",
            f"{dtype!r} is no dtype of the client",
            where,
            "the client passes it over without a word and takes the device's default",
            f"write one of {', '.join(client.dtypes)}",
        )


def _check_chunks(place: str, written: object, client: Client) -> Iterator[Finding]:
    named = written if isinstance(written, Mapping) else {"": written}
    for file, number in named.items():
        if number is None or (isinstance(number, int) and 0 <= number <= client.most_chunks):
            continue
        where = f"{CONFIG}: {place}.use_external_data_format" + (f".{file}" if file else "")
        yield Finding(
            Code.BAD_FIELD,
            "error",
            f"{number!r} is no number of files of external data",
            where,
            f"the client takes true, false or a number up to {client.most_chunks}",
            "write how many files the model's weights are in",
        )


def _field(what: str, where: str, why: str) -> Finding:
    return Finding(Code.BAD_FIELD, "error", what, where, why, "write it as an object in braces")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

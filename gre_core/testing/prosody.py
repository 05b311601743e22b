"""A throw-away Prosody: the real server, unprivileged, in a temporary directory, on 127.0.0.1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gre_core.testing.managed import XmppProgram
from gre_core.testing.ports import LOOPBACK
from gre_core.testing.server import C2S_LIMIT, COMPONENT_LIMIT, ServerProcess, find_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_CONFIG = """
run_as_root = true
daemonize = false
admins = {{ }}
data_path = {data}
plugin_paths = {{ {plugins} }}
network_settings = {{ nagle = false }}
interfaces = {{ "{host}" }}
c2s_ports = {{ {c2s} }}
component_ports = {{ {component} }}
component_interfaces = {{ "{host}" }}
control_ports = {{ {control} }}
control_interfaces = {{ "{host}" }}
modules_enabled = {{ {modules} }}
modules_disabled = {{ "s2s", "tls", "limits" }}
c2s_require_encryption = false
s2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
archive_expires_after = "1w"
default_archive_policy = true
c2s_stanza_size_limit = {c2s_limit}
component_stanza_size_limit = {component_limit}
log = {{ {{ levels = {{ min = {level} }}, to = "console" }} }}
VirtualHost {domain}
"""

UPLOAD_LIMIT = 1024 * 1024
"""Largest file that is shared, in bytes."""

_HTTP = """
http_ports = {{ {port} }}
http_interfaces = {{ "{host}" }}
https_ports = {{ }}
"""

_UPLOAD = """
Component {domain} "http_file_share"
    http_host = "localhost"
    http_file_share_size_limit = {limit}
"""

_MODULES = ("roster", "saslauth", "disco", "ping", "pep", "carbons", "gre_control")

# Prosody has no command that cuts a component's connection: "kick JID-or-domain" on a port of its own.
_CONTROL = r"""
module:set_global();
local jid_bare = require "util.jid".bare;
local listener = {};
local function cut(session)
    if session and session.conn then session.conn:close(); return 1; end
    return 0;
end
function listener.onconnect() end
function listener.ondisconnect() end
function listener.onincoming(conn, line)
    local target = line:match("^kick (%S+)");
    local count = 0;
    for full, session in pairs(prosody.full_sessions) do
        if full == target or jid_bare(full) == target then count = count + cut(session); end
    end
    local host = target and prosody.hosts[target];
    if host and host.modules.component then count = count + cut(host.modules.component.session); end
    conn:write(count .. "\n");
end
module:provides("net", { name = "control"; private = true; listener = listener; default_port = 5999 });
"""


class ProsodyServer(XmppProgram):
    """Debian's Prosody for one test: ready in 0.1 to 0.3 s, gone afterwards.

    Example::

        async with ProsodyServer(accounts={"juliet": "secret"}) as server:
            client = make_client(server, "juliet")

    Differences to a stock installation: no TLS, no server-to-server traffic (a foreign domain is answered
    with ``not-allowed``), no rate limits, Nagle's algorithm off, PLAIN without encryption.

    Args:
        domain: the domain of the accounts.
        accounts: passwords by user name.
        components: secrets by component domain (XEP-0114).
        archive: load message archives (XEP-0313) as well.
        offline: keep messages for users who are not there (XEP-0160).
        upload: share files by HTTP without TLS (XEP-0363); see :attr:`upload_host`.
        c2s_limit: bytes of one stanza from a client; more closes the stream with ``policy-violation``.
        component_limit: bytes of one stanza from a component; more closes with ``not-well-formed``.
        log_level: ``debug``, ``info``, ``warn`` or ``error``.
    """

    def __init__(  # noqa: PLR0913 - what a test does not name stays as it is
        self,
        domain: str = "localhost",
        accounts: Mapping[str, str] | None = None,
        components: Mapping[str, str] | None = None,
        *,
        archive: bool = False,
        offline: bool = False,
        upload: bool = False,
        c2s_limit: int = C2S_LIMIT,
        component_limit: int = COMPONENT_LIMIT,
        log_level: str = "warn",
    ) -> None:
        process = ServerProcess("prosody", "prosody", "apt-get install prosody")
        super().__init__(process, domain, accounts, components, upload=upload)
        self._modules: Sequence[str] = (*_MODULES, *(["mam"] * archive), *(["offline"] * offline))
        self._limits = (c2s_limit, component_limit)
        self._log_level = log_level
        self._config: Path | None = None

    @staticmethod
    def installed() -> bool:
        """Tell whether there is a ``prosody`` on this machine."""
        return find_program("prosody") is not None

    async def _begin(self) -> None:
        self._process.find()
        self._choose_ports()
        self._config = self._write_files(self._process.directory)
        await self.start()

    async def start(self) -> None:
        """Start it again after :meth:`kill`, with the same ports and data."""
        arguments = [self._process.find(), "--config", str(self._config), "-F"]
        await self._process.start(arguments, ports=self._ports)

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.kill()
        await self.start()

    def _write_files(self, directory: Path) -> Path:
        plugins = directory / "plugins"
        plugins.mkdir()
        (plugins / "mod_gre_control.lua").write_text(_CONTROL)
        accounts = directory / "data" / _file_name(self.domain) / "accounts"
        accounts.mkdir(parents=True)
        for user, password in self.accounts.items():
            record = f"return {{ password = {_lua(password)} }};\n"
            (accounts / f"{_file_name(user)}.dat").write_text(record)
        text = _CONFIG.format(
            data=_lua(str(directory / "data")),
            plugins=_lua(str(plugins)),
            host=LOOPBACK,
            c2s=self.c2s_port,
            component=self.component_port,
            control=self._control_port,
            modules=", ".join(_lua(module) for module in self._modules),
            c2s_limit=self._limits[0],
            component_limit=self._limits[1],
            level=_lua(self._log_level),
            domain=_lua(self.domain),
        )
        for domain, secret in self.components.items():
            text += f"Component {_lua(domain)}\n    component_secret = {_lua(secret)}\n"
        if self._upload:
            service = _UPLOAD.format(domain=_lua(f"upload.{self.domain}"), limit=UPLOAD_LIMIT)
            text = _HTTP.format(port=self.upload_port, host=LOOPBACK) + text + service
        config = directory / "prosody.cfg.lua"
        config.write_text(text)
        return config


def _file_name(text: str) -> str:
    """Encode a name the way Prosody's internal storage does."""
    return "".join(chr(b) if chr(b).isascii() and chr(b).isalnum() else f"%{b:02x}" for b in text.encode())


def _lua(text: str) -> str:
    """Quote a Lua string; control characters and quotes as decimal escapes."""
    return '"' + re.sub(rb'[\x00-\x1f"\\\x7f]', lambda m: b"\\%03d" % m[0][0], text.encode()).decode() + '"'

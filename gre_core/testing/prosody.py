"""A throw-away Prosody: the real server, unprivileged, in a temporary directory, on 127.0.0.1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from gre_core.testing.server import (
    C2S_LIMIT,
    COMPONENT_LIMIT,
    LOOPBACK,
    ServerProcess,
    find_program,
    free_port,
    kick,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

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


class ProsodyServer:
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

    host = LOOPBACK
    c2s_port: int
    component_port: int
    upload_port: int

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
        self.domain = domain
        self.accounts: Mapping[str, str] = dict(accounts or {})
        self.components: Mapping[str, str] = dict(components or {})
        self.c2s_port = 0
        self.component_port = 0
        self.upload_port = 0
        self._upload = upload
        self._modules: Sequence[str] = (*_MODULES, *(["mam"] * archive), *(["offline"] * offline))
        self._limits = (c2s_limit, component_limit)
        self._log_level = log_level
        self._control_port = 0
        self._process = ServerProcess("prosody", "prosody", "apt-get install prosody")
        self._config: Path | None = None

    @staticmethod
    def installed() -> bool:
        """Tell whether there is a ``prosody`` on this machine."""
        return find_program("prosody") is not None

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def upload_host(self) -> str:
        """Host and port that shared files are at."""
        return f"localhost:{self.upload_port}"

    @property
    def log_file(self) -> Path:
        """Where the server logs; removed at the end."""
        return self._process.log_file

    async def __aenter__(self) -> Self:
        self._process.find()
        self.c2s_port, self.component_port, self._control_port = free_port(), free_port(), free_port()
        if self._upload:
            self.upload_port = free_port()
        try:
            self._config = self._write_files(self._process.directory)
            await self.start()
        except BaseException:
            await self._process.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self._process.stop()

    async def start(self) -> None:
        """Start it again after :meth:`kill`, with the same ports and data."""
        ports = [self.c2s_port, self._control_port]
        if self.components:
            ports.append(self.component_port)
        if self._upload:
            ports.append(self.upload_port)
        await self._process.start([self._process.find(), "--config", str(self._config), "-F"], ports=ports)

    async def kill(self) -> None:
        """Kill it (SIGKILL); what it has stored stays."""
        await self._process.kill()

    async def restart(self) -> None:
        """Kill it and start it again."""
        await self.kill()
        await self.start()

    async def kick(self, jid_or_domain: str) -> None:
        """Cut the connection of a full JID, of all resources of a bare JID, or of a component domain.

        Raises:
            TestServerError: nobody was connected under that name.
        """
        await kick(self._control_port, jid_or_domain)

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

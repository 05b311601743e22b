"""A throw-away ejabberd: the real server by plain ``erl``, in a temporary directory, on 127.0.0.1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gre_core.testing.managed import XmppProgram
from gre_core.testing.ports import LOOPBACK
from gre_core.testing.server import ServerProcess, TestServerError, find_program

if TYPE_CHECKING:
    from collections.abc import Mapping

UPLOAD_LIMIT = 1024 * 1024
"""Largest file that is shared, in bytes."""

_INSTALL = "apt-get install ejabberd"

_MODULES: Mapping[str, Mapping[str, object]] = {
    "mod_caps": {},
    "mod_carboncopy": {},
    "mod_disco": {},
    "mod_offline": {},
    "mod_ping": {},
    "mod_roster": {},
    "mod_pubsub": {"plugins": ["flat", "pep"]},
}

_ARCHIVE: Mapping[str, Mapping[str, object]] = {"mod_mam": {"default": "always"}}

# Makes the accounts, then listens for "kick JID-or-domain". Connections are stopped, not killed: a killed one
# would stay in the table of sessions.
_STARTUP = """
[ok = ejabberd_auth:try_register(User, Server, Password)
 || {User, Server, Password} <- [%(accounts)s]],
spawn(fun() ->
    {ok, Listener} = gen_tcp:listen(%(port)d, [binary, {packet, line}, {active, false}, {ip, {127, 0, 0, 1}}]),
    Pids = fun(Target) ->
        {jid, User, Server, Resource, _, _, _} = jid:decode(Target),
        case User of
            <<>> -> [element(4, Route) || Route <- mnesia:dirty_read(route, Server)];
            _ -> [ejabberd_sm:get_session_pid(User, Server, R) || R <- ejabberd_sm:get_user_resources(User, Server),
                                                                  Resource == <<>> orelse R == Resource]
        end
    end,
    Answer = fun(Socket) ->
        {ok, <<"kick ", Rest/binary>>} = gen_tcp:recv(Socket, 0, 5000),
        Found = [Pid || Pid <- Pids(string:trim(Rest)), is_pid(Pid)],
        [xmpp_stream_in:stop_async(Pid) || Pid <- Found],
        gen_tcp:send(Socket, io_lib:format("~b~n", [length(Found)]))
    end,
    (fun Serve() ->
        {ok, Socket} = gen_tcp:accept(Listener),
        catch Answer(Socket),
        gen_tcp:close(Socket),
        Serve()
    end)()
end).
"""


class EjabberdServer(XmppProgram):
    """Debian's ejabberd for one test or measurement: ready in about 3 s, gone afterwards.

    Example::

        async with EjabberdServer(accounts={"juliet": "secret"}) as server:
            client = make_client(server, "juliet")

    No TLS, no server-to-server traffic, no shapers, no Erlang distribution (so no ``epmd``).

    Args:
        domain: the domain of the accounts.
        accounts: passwords by user name.
        components: secrets by component domain (XEP-0114).
        archive: load message archives (XEP-0313) as well.
        upload: share files by HTTP without TLS (XEP-0363); see :attr:`upload_host`.
        c2s_limit: bytes of one stanza from a client; None, the default of ejabberd, is no limit.
        component_limit: the same for components.
    """

    def __init__(
        self,
        domain: str = "localhost",
        accounts: Mapping[str, str] | None = None,
        components: Mapping[str, str] | None = None,
        *,
        archive: bool = False,
        upload: bool = False,
        c2s_limit: int | None = None,
        component_limit: int | None = None,
    ) -> None:
        super().__init__(
            ServerProcess("ejabberd", "erl", _INSTALL), domain, accounts, components, upload=upload
        )
        self._modules = {**_MODULES, **(_ARCHIVE if archive else {})}
        self._limits = (c2s_limit, component_limit)

    @staticmethod
    def installed() -> bool:
        """Tell whether ejabberd is on this machine."""
        return find_program("erl") is not None and _libraries() is not None

    async def _begin(self) -> None:
        erl, libraries = self._process.find(), _libraries()
        if libraries is None:
            message = f"ejabberd is not installed. Install it: {_INSTALL}"
            raise TestServerError(message)
        self._choose_ports()
        directory = self._process.directory
        config = directory / "ejabberd.yml"
        config.write_text(json.dumps(self._config()))  # JSON is YAML
        environment = {
            "HOME": str(directory),
            "ERL_LIBS": str(libraries),
            "ERL_CRASH_DUMP": str(directory / "crash.dump"),
            "EJABBERD_CONFIG_PATH": str(config),
            "EJABBERD_LOG_PATH": str(directory / "ejabberd.log"),
        }
        startup = directory / "startup.erl"  # a file: the command line can be read by every user
        startup.write_text(self._startup())
        arguments = [erl, "-noinput", "+K", "true", "-mnesia", "dir", f'"{directory / "data"}"']
        arguments += ["-s", "ejabberd", "-eval", f'ok = file:eval("{startup}").']
        await self._process.start(arguments, ports=self._ports, environment=environment, patience=60)

    def _config(self) -> dict[str, object]:
        clients: dict[str, object] = {
            "port": self.c2s_port,
            "ip": LOOPBACK,
            "module": "ejabberd_c2s",
            "shaper": "none",
            "access": "all",
        }
        components: dict[str, object] = {
            "port": self.component_port,
            "ip": LOOPBACK,
            "module": "ejabberd_service",
            "shaper": "none",
            "access": "all",
            # Otherwise each component gets the stanzas of all of them.
            "global_routes": False,
            "hosts": {domain: {"password": secret} for domain, secret in self.components.items()},
        }
        for listener, limit in zip((clients, components), self._limits, strict=True):
            if limit is not None:
                listener["max_stanza_size"] = limit
        modules, files = self._modules, []
        if self._upload:
            modules, files = {**modules, "mod_http_upload": self._shared_files()}, [self._file_server()]
        return {
            "hosts": [self.domain],
            "loglevel": "warning",
            "listen": [clients, *([components] if self.components else []), *files],
            "auth_method": "internal",
            "auth_password_format": "plain",
            "s2s_access": "none",
            "access_rules": {"pubsub_createnode": {"allow": "all"}},
            "modules": modules,
        }

    def _file_server(self) -> Mapping[str, object]:
        handlers = {"/upload": "mod_http_upload"}
        return {
            "port": self.upload_port,
            "ip": LOOPBACK,
            "module": "ejabberd_http",
            "request_handlers": handlers,
        }

    def _shared_files(self) -> Mapping[str, object]:
        return {
            "access": "all",
            "docroot": str(self._process.directory / "upload"),
            "put_url": f"http://{self.upload_host}/upload",
            "max_size": UPLOAD_LIMIT,
        }

    def _startup(self) -> str:
        accounts = (
            f"{{{_binary(user)}, {_binary(self.domain)}, {_binary(password)}}}"
            for user, password in self.accounts.items()
        )
        return _STARTUP % {"accounts": ", ".join(accounts), "port": self._control_port}


def _binary(text: str) -> str:
    """Write an Erlang binary by its bytes, so that nothing has to be quoted."""
    return f"<<{','.join(str(byte) for byte in text.encode())}>>"


def _libraries() -> Path | None:
    """Return the directory that holds ejabberd's Erlang application, as Debian installs it."""
    for application in sorted(Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.app")):
        return application.parents[2]
    return None

"""Debian's Postfix: a whole mail server of its own for one test, and ``smtp-sink``, which takes every mail."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
from typing import TYPE_CHECKING

from gre_core.testing.managed import ProgramServer
from gre_core.testing.ports import LOOPBACK, free_port
from gre_core.testing.server import ServerProcess, TestServerError, find_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_BACKLOG = 100

_INSTALL = "apt-get install postfix"

# Queues by owner and mode, as "postfix set-permissions" makes them.
_QUEUES = (
    "active",
    "bounce",
    "corrupt",
    "defer",
    "deferred",
    "flush",
    "hold",
    "incoming",
    "private",
    "saved",
    "trace",
)

_MAIN = """\
compatibility_level = 3.6
queue_directory = {directory}/queue
data_directory = {directory}/data
maillog_file = {directory}/mail.log
maillog_file_prefixes = {directory}
myhostname = {host}
myorigin = $myhostname
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = {relay}
smtp_dns_support_level = disabled
virtual_mailbox_domains = {domains}
virtual_transport = {transport}
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, reject_unverified_recipient
unverified_recipient_reject_code = 550
smtpd_forbid_bare_newline = normalize
smtpd_forbid_unauth_pipelining = yes
message_reject_characters = \\0
address_verify_sender =
address_verify_positive_refresh_time = 1s
address_verify_positive_expire_time = 10m
address_verify_negative_refresh_time = 1s
address_verify_negative_expire_time = 2s
address_verify_poll_delay = 1s
notify_classes =
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
transport_retry_time = 1s
smtp_connect_timeout = 5s
smtpd_peername_lookup = no
default_process_limit = 20
"""

_MASTER = """\
{outside} inet n - n - - smtpd -o mynetworks=192.0.2.1/32 {outside_options}
{inside} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class SmtpSink(ProgramServer):
    """A mail relay that accepts everything, on 127.0.0.1.

    Example::

        async with SmtpSink() as sink:
            await aiosmtplib.send(mail, hostname=sink.host, port=sink.port)

    Args:
        keep: write each mail to a file of :attr:`mails`; slower, for counting and looking.
        options: more options of ``smtp-sink``, such as ``("-r", "RCPT")`` to refuse recipients for now.
    """

    def __init__(self, *, keep: bool = False, options: Sequence[str] = ()) -> None:
        super().__init__(ServerProcess("smtp-sink", "smtp-sink", _INSTALL))
        self.port = 0
        self._keep = keep
        self._options = tuple(options)

    @staticmethod
    def installed() -> bool:
        """Tell whether there is an ``smtp-sink`` on this machine."""
        return find_program("smtp-sink") is not None

    @property
    def mails(self) -> list[Path]:
        """The kept mails, oldest first: envelope in ``X-`` header fields, then the mail."""
        files = (self._process.directory / "mails").iterdir()
        return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))

    async def _begin(self) -> None:
        self._process.find()
        self.port = free_port()
        mails = self._process.directory / "mails"
        mails.mkdir()
        if os.geteuid() == 0 and self._keep:
            self._process.directory.chmod(0o711)
            mails.chmod(0o733)  # it is written to as nobody
        await self.start()

    async def start(self) -> None:
        """Start it again after :meth:`kill`, on the same port."""
        arguments = [self._process.find(), *self._options]
        if os.geteuid() == 0:
            arguments += ["-u", "nobody"]  # it refuses to run as root without being told whom to become
        if self._keep:
            arguments += ["-d", str(self._process.directory / "mails" / "mail.")]
        arguments += [f"{LOOPBACK}:{self.port}", str(_BACKLOG)]
        await self._process.start(arguments, ports=[self.port])


class PostfixServer(ProgramServer):
    """Debian's Postfix with all its daemons, in a temporary directory, on 127.0.0.1. Needs root.

    Mail for its domains goes to an LMTP server after recipient verification; other mail, only from
    :attr:`submission_port`, to a relay.

    Example::

        async with PostfixServer(["example.org"], relay_port=sink.port, lmtp_port=2424) as postfix:
            await aiosmtplib.send(mail, hostname=postfix.host, port=postfix.port)

    Both ports are known before it starts, and :attr:`lmtp_port` may be set until then: so a gateway can be started
    first that sends through it.

    Args:
        domains: mail domains that it takes mail for.
        relay_port: of the mail server on 127.0.0.1 that all other mail goes to; None: such mail waits.
        lmtp_port: of the LMTP server on 127.0.0.1 that mail for its domains goes to; None: such mail waits.
        proxy_port: of an SMTP server on 127.0.0.1 that :attr:`port` hands every mail to while its sender waits
            (``smtpd_proxy_filter``); nothing of it is queued then.
        settings: more of ``main.cf``, or other values.
    """

    def __init__(
        self,
        domains: Sequence[str] = ("example.org",),
        *,
        relay_port: int | None = None,
        lmtp_port: int | None = None,
        proxy_port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(ServerProcess("postfix", "postfix", _INSTALL))
        self.port = free_port()
        """For mail servers from outside: only mail for its domains."""
        self.submission_port = free_port()
        """For programs on this machine: all mail."""
        self.relay_port = relay_port
        self.lmtp_port = lmtp_port
        self.proxy_port = proxy_port
        self._domains = tuple(domains)
        self.settings = dict(settings or {})
        """More of ``main.cf``; used at the next :meth:`start`."""

    @staticmethod
    def installed() -> bool:
        """Tell whether there is a ``postfix`` on this machine, and this process may start it."""
        return os.geteuid() == 0 and find_program("postfix") is not None

    @property
    def log_file(self) -> Path:
        """Where all its daemons log; removed at the end."""
        return self._process.directory / "mail.log"

    @property
    def log(self) -> str:
        """What its daemons logged until now."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    @property
    def queued(self) -> list[str]:
        """The ids of all mails that it holds at this moment."""
        queue = self._process.directory / "queue"
        found = (
            file.name
            for name in ("incoming", "active", "deferred", "hold", "corrupt")
            for file in (queue / name).rglob("*")
            if file.is_file()
        )
        return sorted(set(found))

    async def start(self) -> None:
        """Start, and return when both ports answer; after :meth:`kill` with the mails that it held.

        Raises:
            TestServerError: it is not installed, or does not start.
        """
        program = self._process.find()
        if os.geteuid() != 0:
            message = "Postfix can only be started by root."
            raise TestServerError(message)
        daemons = await _output(find_program("postconf") or program, "-dh", "daemon_directory")
        config = self._write_files(self._process.directory)
        await self._process.start(
            [f"{daemons}/master", "-c", str(config), "-d"],
            ports=[self.port, self.submission_port],
            patience=60,
        )

    async def flush(self) -> None:
        """Let it try to deliver all mails that wait, now."""
        program = find_program("postqueue") or "postqueue"
        await _output(program, "-c", str(self._process.directory / "etc"), "-f")

    async def content(self, queue_id: str) -> bytes:
        """Give a mail that it holds, header and body with LF; empty when it holds it no more.

        Args:
            queue_id: one of :attr:`queued`.
        """
        program = find_program("postcat") or "postcat"
        config = str(self._process.directory / "etc")
        return await _run(program, "-c", config, "-bhq", queue_id)

    async def _begin(self) -> None:
        await self.start()

    def _write_files(self, directory: Path) -> Path:
        config, queue, data = (directory / name for name in ("etc", "queue", "data"))
        directory.chmod(0o711)  # most daemons run as the user postfix
        for folder in (config, queue, data, queue / "pid"):
            folder.mkdir(exist_ok=True)
        owner = pwd.getpwnam("postfix")
        os.chown(data, owner.pw_uid, 0)
        for name in _QUEUES:
            (queue / name).mkdir(mode=0o700, exist_ok=True)
            os.chown(queue / name, owner.pw_uid, 0)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            (queue / name).mkdir(exist_ok=True)
            shutil.chown(queue / name, "postfix", "postdrop")
            (queue / name).chmod(mode)
        values = {
            "directory": directory,
            "host": f"mx.{self._domains[0]}",
            "domains": " ".join(self._domains),
            "relay": f"[{LOOPBACK}]:{self.relay_port}" if self.relay_port else f"[{LOOPBACK}]:9",
            "transport": f"lmtp:inet:{LOOPBACK}:{self.lmtp_port}" if self.lmtp_port else "retry:not yet",
        }
        more = "".join(f"{name} = {value}\n" for name, value in self.settings.items())
        (config / "main.cf").write_text(_MAIN.format_map(values) + more)
        proxy = ""
        if self.proxy_port:
            # The server behind it answers for each recipient itself.
            proxy = (
                f"-o smtpd_proxy_filter={LOOPBACK}:{self.proxy_port} "
                "-o smtpd_recipient_restrictions=permit_mynetworks,reject_unauth_destination"
            )
        (config / "master.cf").write_text(
            _MASTER.format(
                outside=f"{LOOPBACK}:{self.port}",
                inside=f"{LOOPBACK}:{self.submission_port}",
                outside_options=proxy,
            )
        )
        return config


async def _output(*command: str) -> str:
    return (await _run(*command)).decode().strip()


async def _run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return (await process.communicate())[0]

"""A machine for one how-to: own file system, network, processes and host name; gone at the end. Needs root.

Run within fresh namespaces (``unshare --mount --net --uts --pid --fork``): what is written to /etc, /var and the like goes
to memory, and the ports of all servers are free. Some programs are stand-ins, see ``STAND_INS``.

    python howto_sandbox.py FOLDER VENV SCRIPT
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

OVERLAID = ("etc", "var", "home", "opt", "root", "usr/local")
STAND_INS = {
    "apt-get": "exit 0",
    "python3": 'case "$*" in "-m venv "*) mkdir -p "$3/bin"; ln -s "$GRE_HOWTO_PIP" "$3/bin/pip";; *) exec /usr/bin/python3 "$@";; esac',
    "pip": 'ln -s "$GRE_HOWTO_VENV/bin/gre-email-gateway" "$GRE_HOWTO_VENV/bin/gre" "$(dirname "$0")"',
    "certbot": (
        "mkdir -p /etc/letsencrypt/live/example.org\n"
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=example.org -addext subjectAltName=DNS:example.org "
        "-keyout /etc/letsencrypt/live/example.org/privkey.pem -out /etc/letsencrypt/live/example.org/fullchain.pem 2>/dev/null\n"
        "cp /etc/letsencrypt/live/example.org/fullchain.pem /etc/ssl/howto.pem"
    ),
}


def sh(*command: str) -> None:
    subprocess.run(command, check=True)


def make_machine(folder: Path) -> None:
    sh("mount", "-t", "tmpfs", "none", str(folder))
    for name in OVERLAID:
        upper, work = folder / name / "upper", folder / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        sh("mount", "-t", "overlay", "overlay", "-o", options, f"/{name}")
    sh("mount", "-t", "tmpfs", "none", "/run")
    for name in ("prosody", "lock"):
        Path("/run", name).mkdir()
    sh("chown", "prosody:prosody", "/run/prosody")
    sh("ip", "link", "set", "lo", "up")
    socket.sethostname("mx")
    Path("/etc/hosts").write_text("127.0.0.1 localhost mx.example.org mx example.org\n")
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for name, text in STAND_INS.items():
        (bin_folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (bin_folder / "systemctl").write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} systemctl "$@"\n')
    for file in bin_folder.iterdir():
        file.chmod(0o755)


def systemctl(*words: str) -> None:
    """Do what the how-to needs of it."""
    match words:
        case ("restart", "prosody"):
            for pid in Path("/run/prosody").glob("prosody.pid"):
                subprocess.run(["prosodyctl", "stop"], check=False)
                pid.unlink(missing_ok=True)
            sh("runuser", "-u", "prosody", "--", "prosody", "-D")
            wait_for_port(5222)
        case ("restart", "postfix"):
            subprocess.run(["postfix", "stop"], check=False, stderr=subprocess.DEVNULL)
            sh("postfix", "start")
            wait_for_port(25)
        case ("daemon-reload",):
            pass
        case ("enable", "--now", service):
            start_service(Path("/etc/systemd/system", f"{service}.service").read_text())
        case _:
            sys.exit(f"the how-to's stand-in for systemctl does not know: {' '.join(words)}")


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"nothing listens on port {port}")


def start_service(unit: str) -> None:
    """Start a unit of Type=notify as systemd does: another user, credentials, state directory; wait for READY."""
    values = re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE)
    first = dict(reversed(values))
    name = first["StateDirectory"]
    user = "nobody"
    state, credentials = Path("/var/lib", name), Path("/run/credentials")
    for folder in (state, credentials):
        folder.mkdir(mode=0o700, exist_ok=True)
    for key, value in values:
        if key == "LoadCredential":
            credential, _, source = value.partition(":")
            (credentials / credential).write_bytes(Path(source).read_bytes())
            (credentials / credential).chmod(0o400)
    for path in (state, credentials, *credentials.iterdir()):
        sh("chown", user, str(path))
    notify = Path("/run/notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(notify))
        notify.chmod(0o777)
        heard.settimeout(0.5)
        environment = [
            f"NOTIFY_SOCKET={notify}",
            f"CREDENTIALS_DIRECTORY={credentials}",
            f"PATH={os.environ['PATH']}",
        ]
        with Path("/var/log/gateway.log").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups", "--no-new-privs",
                 "env", "-i", *environment, *shlex.split(first["ExecStart"])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        said = b""
        deadline = time.monotonic() + 60
        while not said.startswith(b"READY=1"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the service did not say READY")
            with contextlib.suppress(TimeoutError):
                said = heard.recv(500)


def main() -> int:
    if sys.argv[1] == "systemctl":
        systemctl(*sys.argv[2:])
        return 0
    folder, venv, script = (Path(word) for word in sys.argv[1:4])
    make_machine(folder)
    path = f"{folder}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {
        "PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "GRE_HOWTO_VENV": str(venv), "GRE_HOWTO_PIP": f"{folder}/bin/pip",
        "SSL_CERT_FILE": "/etc/ssl/howto.pem", "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", script], env=environment, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        for log in ("gateway.log", "prosody/prosody.log", "mail.log"):
            if (file := Path("/var/log", log)).exists():
                sys.stderr.write(f"--- {log}\n{file.read_text(errors='replace')[-2000:]}\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

"""A machine for one how-to: own file system, network, processes and host name, with systemd; gone at the end.

Needs root, who may make namespaces. What the script writes to /etc, /var and the like goes to memory, and the ports of
all servers are free. Services are started by the systemd of this machine, with all that their units say. Programs that
would fetch something from outside are stand-ins, see ``STAND_INS``: what they would fetch is there.

    unshare --mount --net --uts --ipc --pid --cgroup --fork --kill-child python howto_machine.py FOLDER SCRIPT

What the script says stands in FOLDER: ``out``, ``err``, ``journal``; its exit code in ``code``.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

SYSTEMD = "/lib/systemd/systemd"
SHARED = "srv/howto"
PYTHON = "opt/howto/python"
PATH = f"/{SHARED}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STAND_INS = {
    "apt-get": "exit 0",
    # The packages that pip would fetch are those of this repository, and the libraries that it is tested with.
    "python3": """\
case "$*" in
    "-m venv "*)
        "$HOWTO_PYTHON" -m venv --without-pip "$3"
        ln -s /srv/howto/bin/pip "$3/bin/pip";;
    *) exec /usr/bin/python3 "$@";;
esac""",
    "pip": """\
folder=$(dirname "$(dirname "$0")")
cp /srv/howto/packages.pth "$folder"/lib/python3*/site-packages/
for program in gre-email-gateway gre; do
    sed "1c #!$folder/bin/python" "$HOWTO_SCRIPTS/$program" > "$folder/bin/$program"
    chmod 755 "$folder/bin/$program"
done""",
    "certbot": """\
mkdir -p /etc/letsencrypt/live/example.org
cd /etc/letsencrypt/live/example.org
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=example.org -addext subjectAltName=DNS:example.org \
    -keyout privkey.pem -out fullchain.pem 2>/dev/null
cp fullchain.pem /etc/ssl/howto.pem""",
}
UNIT = """\
[Unit]
Requires=basic.target
After=basic.target
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate
[Service]
Type=oneshot
ExecStart=bash -euxo pipefail /{shared}/script
ExecStopPost=sh -c 'journalctl --no-pager --lines 400 > /{shared}/journal; echo $EXIT_STATUS > /{shared}/code'
Environment=PATH={path} HOME=/root LANG=C.UTF-8 HOWTO_PYTHON={python} HOWTO_SCRIPTS={scripts}
Environment=SSL_CERT_FILE=/etc/ssl/howto.pem PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring
StandardOutput=file:/{shared}/out
StandardError=file:/{shared}/err
WorkingDirectory=/root
"""


def sh(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def mount(kind: str, place: Path, options: str = "") -> None:
    place.mkdir(parents=True, exist_ok=True)
    sh("mount", "-t", kind, *(("-o", options) if options else ()), kind, place)


def bind(source: str | Path, place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    sh("mount", "--bind", source, place)


def make_machine(folder: Path) -> Path:
    """Mount what a machine has, and give its root."""
    memory = folder / "memory"
    mount("tmpfs", memory)
    root = memory / "root"
    for name in ("upper", "work"):
        (memory / name).mkdir()
    mount("overlay", root, f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work")
    mount("proc", root / "proc")
    mount("sysfs", root / "sys", "ro")
    mount("tmpfs", root / "sys/fs/cgroup")
    mount("cgroup2", root / "sys/fs/cgroup")
    for name in ("run", "tmp", "dev"):
        mount("tmpfs", root / name, "mode=1777" if name == "tmp" else "mode=755")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        (root / "dev" / name).touch()
        sh("mount", "--bind", f"/dev/{name}", root / "dev" / name)
    mount("devpts", root / "dev/pts", "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", root / "dev/shm", "mode=1777")
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")):
        (root / "dev" / name).symlink_to(target)
    bind(folder, root / SHARED)
    sh("ip", "link", "set", "lo", "up")
    socket.sethostname("mx")
    (root / "etc/hostname").write_text("mx\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost mx.example.org mx example.org\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return root


def install_python(root: Path, folder: Path) -> str:
    """Bring the running Python and what it can import to a place that a service may read; give its path there."""
    python = Path(sys.base_prefix)
    program = f"{python}/bin/python3"
    if not python.is_relative_to("/usr"):
        bind(python, root / PYTHON)
        program = f"/{PYTHON}/bin/python3"
        (root / "etc/ld.so.conf.d/howto.conf").write_text(f"/{PYTHON}/lib\n")
        sh("ldconfig", "-r", root)
    lines = []
    own = [Path(each) for each in sys.path if not Path(each).is_relative_to(python / "lib")]
    for number, place in enumerate(each for each in own if each.is_dir() and each != Path(__file__).parent):
        bind(place, root / f"opt/howto/packages/{number}")
        lines.append(f"/opt/howto/packages/{number}\n")
    (folder / "packages.pth").write_text("".join(lines))
    bind(Path(sys.prefix, "bin"), root / "opt/howto/scripts")
    return program


def main() -> None:
    folder, script = (Path(word).absolute() for word in sys.argv[1:3])
    sh("mount", "--make-rprivate", "/")
    (folder / "script").write_bytes(script.read_bytes())
    (folder / "bin").mkdir()
    for name, text in STAND_INS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\nset -e\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    root = make_machine(folder)
    python = install_python(root, folder)
    # Whoever follows the how-to has one package for OpenPGP; the environment of the tests has two.
    answers = root / "root/.config/gre/providers.json"
    answers.parent.mkdir(parents=True, exist_ok=True)
    answers.write_text('{"urn:xmpp:gre:encrypter:openpgp:0": "gre-encrypter-openpgp"}')
    (root / "run/systemd/system").mkdir(parents=True)
    (root / "run/systemd/system/howto.service").write_text(
        UNIT.format(shared=SHARED, path=PATH, python=shlex.quote(python), scripts="/opt/howto/scripts")
    )
    os.chdir(root)
    (root / "srv/old").mkdir()
    sh("pivot_root", ".", "srv/old")
    os.chroot(".")
    sh("umount", "--lazy", "/srv/old")
    sh("mount", "--make-rshared", "/")  # or no service would see its credentials
    os.execve(SYSTEMD, [SYSTEMD, "--unit=howto.service", "--show-status=no"], {"container": "howto"})


if __name__ == "__main__":
    main()

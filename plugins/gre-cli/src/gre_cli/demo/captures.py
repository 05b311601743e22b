"""What each party in the middle received: the bytes of its connections, its files, its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gre_cli.demo.stage import Stage

PARTIES = ("XMPP server", "gateway", "mail relay")


@dataclass(frozen=True, slots=True)
class Captures:
    """Everything that was received.

    Arguments:
        pieces: by party: the content by name.
        mails: the mails that the relay took, in their order.
    """

    pieces: dict[str, dict[str, bytes]] = field(repr=False)
    mails: tuple[bytes, ...] = field(repr=False)

    def of(self, party: str) -> bytes:
        """Give all that a party received, in one piece."""
        return b"\n\n".join(self.pieces[party].values())

    def keep(self, folder: Path) -> list[Path]:
        """Write everything into a folder, to look at.

        Raises:
            OSError: a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for party, pieces in self.pieces.items():
            for name, content in pieces.items():
                path = folder / party.replace(" ", "-").lower() / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                written.append(path)
        for number, content in enumerate(self.mails, 1):
            path = folder / f"mail-{number}.eml"
            path.write_bytes(content)
            written.append(path)
        return written


def collect(stage: Stage) -> Captures:
    """Collect what was received. The gateway has to be stopped before, so that its log is whole."""
    # Spool and journal of the gateway; its configuration and the public keys were there before.
    state = stage.root / "state"
    files = {
        f"state/{path.relative_to(state)}": path.read_bytes()
        for path in sorted(state.rglob("*"))
        if path.is_file()
    }
    return Captures(
        {
            "XMPP server": {
                "from-juliet.xml": bytes(stage.client_link.requests),
                "from-gateway.xml": bytes(stage.component_link.requests),
            },
            "gateway": {
                "from-server.xml": bytes(stage.component_link.answers),
                "to-server.xml": bytes(stage.component_link.requests),
                "from-relay.lmtp": bytes(stage.door_link.requests),
                "to-relay.smtp": bytes(stage.relay_link.requests),
                "log.txt": bytes(stage.gateway.output),
                **files,
            },
            "mail relay": {
                "from-gateway.smtp": bytes(stage.relay_link.requests),
                "from-romeo.smtp": bytes(stage.sender_link.requests),
            },
        },
        tuple(mail.content for mail in stage.relay.mails),
    )

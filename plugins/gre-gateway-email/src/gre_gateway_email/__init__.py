"""An XMPP gateway to email that relays OpenPGP messages which it cannot read."""

"""Mails and mail systems: addresses, MIME, SMTP and LMTP. Knows no XMPP and no database."""

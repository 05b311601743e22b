"""What users see of the gateway in XMPP: registration, commands, presence, roster, stanzas."""

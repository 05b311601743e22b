"""Gateway Relayed Encryption (GRE) for XMPP."""

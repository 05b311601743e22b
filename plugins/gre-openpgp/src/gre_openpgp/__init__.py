"""What OpenPGP encrypters and gateways share, without a crypto library: XEP-0373 key nodes, armor, packets, key sources."""

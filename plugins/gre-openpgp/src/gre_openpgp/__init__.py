"""What OpenPGP encrypters and gateways share, without a crypto library: key nodes, armor, packets, trust."""

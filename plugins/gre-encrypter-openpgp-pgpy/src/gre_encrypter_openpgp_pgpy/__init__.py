"""GRE Encrypter: OpenPGP, by PGPy. For where Sequoia cannot be installed."""

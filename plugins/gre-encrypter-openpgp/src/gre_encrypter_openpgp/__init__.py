"""GRE Encrypter: OpenPGP. Signs and encrypts with Sequoia."""

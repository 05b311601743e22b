"""GRE Encrypter: age. Encrypts with age (age-encryption.org), by pyrage."""

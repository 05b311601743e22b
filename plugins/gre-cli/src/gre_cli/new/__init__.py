"""``gre new``: writes the package of a new formatter or encrypter."""

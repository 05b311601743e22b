"""The carriers of this package: how an encrypted body becomes a mail, and back."""

"""Public keys: of users for their mails and WKD, of contacts for the users. Nothing here encrypts or verifies."""

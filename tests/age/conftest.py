"""The package here is tested where it is installed: tests/integration/email_gateway/test_email_gateway_age.py."""

collect_ignore = ["gre-encrypter-age"]

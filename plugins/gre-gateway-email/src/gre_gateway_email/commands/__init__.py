"""The subcommands of gre-email-gateway, one module each."""

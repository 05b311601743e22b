"""GRE Formatter: MIME. Formats a message as a MIME entity before it is encrypted."""

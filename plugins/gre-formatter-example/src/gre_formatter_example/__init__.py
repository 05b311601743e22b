"""GRE Formatter: Example. A message as a JSON object of a few members."""

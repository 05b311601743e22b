"""Everything durable, in one database: users, messages under way, keys of contacts, what was relayed."""

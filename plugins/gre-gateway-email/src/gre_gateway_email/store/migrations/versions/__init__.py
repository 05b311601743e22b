"""Steps from each state of the tables to the next, for alembic."""

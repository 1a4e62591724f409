"""Alembic's entry: migrations run on the connection that `persistence.schema` hands over."""

from alembic import context

from persistence.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()

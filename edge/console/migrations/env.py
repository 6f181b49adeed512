"""What alembic runs: the steps on the connection that `edge.console.database` lends, inside its transaction."""

from __future__ import annotations

from alembic import context

from edge.console.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

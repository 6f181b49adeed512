"""The console database's migrations, run by alembic: `versions` holds one file a step, oldest first."""

"""The journal's migrations, run by alembic (edge/migrating.py): `versions` holds one file a step."""

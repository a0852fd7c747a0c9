"""What we hold: rows in a database, bytes in folders. Imports nothing of ours."""

"""The record: ids, entries, their bytes, the tables, reading, committing and checking. No trio, no user code."""

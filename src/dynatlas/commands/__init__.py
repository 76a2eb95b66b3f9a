"""What a user calls by hand: studies, ledger, ancestry, doctor, resume, schema, lock."""

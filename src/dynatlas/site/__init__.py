"""What a reader sees: executed notebooks, a page for each study, and the ledger's page. All of it works from a file."""

"""What was found and whether it stands: records, criteria and gates, standing, and the append-only ledger."""

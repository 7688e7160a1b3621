"""What other tools say of the same columns."""

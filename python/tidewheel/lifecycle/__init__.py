"""The use cases in the order of the loop: each opens what it needs and calls the rooms below. No Prefect here."""

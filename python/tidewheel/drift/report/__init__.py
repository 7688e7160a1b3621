"""The report on two tables: records of plain data, and how they are shown."""

"""What the user writes: the project file, its criteria, scope and risks. Needs the extra `cli` or `lifecycle`."""

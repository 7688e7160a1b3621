"""HTML and terminal views of the lifecycle's records. Needs the extra `lifecycle`."""

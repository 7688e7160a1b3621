"""Evidence, decisions and the rollout plan, append-only. Needs the extra `data` or `lifecycle`."""

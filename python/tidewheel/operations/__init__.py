"""Everything about processes: ports, starting and stopping services, the run file, progress, the doctor."""

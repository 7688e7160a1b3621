"""Watch a model at work: windows of the prediction log, labels that come late, drift, and what kind of trouble it is.

Everything here is pure: frames, numbers and the time go in; records with reasons come out.
"""

"""The record of what was asked, what was answered and came true: Delta tables, and the segments on their way."""

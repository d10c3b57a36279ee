"""Super-resolution networks, one file per paper.

`stages` and `base` define what a network is, `layers` holds what three or more of them share.
"""

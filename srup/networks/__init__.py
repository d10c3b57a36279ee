"""The networks, one file per paper; `stages` says what they have in common."""

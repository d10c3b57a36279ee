"""A fuzzer for everything that srup takes from strangers.

`python -m tests.fuzz --cases 10000 --found FOLDER`. A case is bytes, made by a target from a seed
and a number, always the same. Child processes judge cases within limits of memory and time.
"""

"""What carries jobs out: threads of this process, processes of this machine, or the workers of a
Ray cluster.

An executor is a function `(jobs, worker) -> Iterator[Result]` that yields results in the order in
which they end.
"""

"""A local page and an HTTP API over `pipeline`, in worker processes that keep networks loaded.

A request becomes a `Task` in one bounded `Queue`; a `WorkerProcess` runs it on files of a private
folder (`store`); what went wrong is a problem document (`problems`). `app` has the routes, `guards`
what every request must pass, and `client` is the other end: `srup upscale --server`.
"""

"""Many images: found, planned, made by threads, processes or a cluster, and written down as they
are done.

    recipe = Recipe(model="imdn")
    jobs = batch.planned(batch.find(["photos/"]), "larger/", recipe)
    with batch.journal("larger/") as journal:
        for result in batch.run(jobs, recipe, journal):
            print(result.status, result.name)

Of very many images, `Stream(Sources(("photos/",)), "larger/", recipe)` has the same jobs, found
while they are made.

What has been done is in the journal of the output folder, so that a batch that was killed goes on
where it was.
"""

from srup.batch.executors.threads import in_threads
from srup.batch.journal import Journal, journal
from srup.batch.pending import Chosen, Policy
from srup.batch.planning import find, planned, read_list
from srup.batch.running import run
from srup.batch.settings import made_otherwise, settings_difference
from srup.batch.streaming import Sources, Stream

__all__ = [
    "Chosen",
    "Journal",
    "Policy",
    "Sources",
    "Stream",
    "find",
    "in_threads",
    "journal",
    "made_otherwise",
    "planned",
    "read_list",
    "run",
    "settings_difference",
]

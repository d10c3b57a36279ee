"""Shards: files that hold many images, as one job each.

A shard becomes a shard of the same name in which images are enlarged and all else is as it was. It
appears whole or not at all. One image that fails is left out, and stands with its error in the
table beside the shard.
"""

from srup.batch.shards.making import carried_out, is_shard, shard_of
from srup.batch.shards.status import shard_of_status

__all__ = ["carried_out", "is_shard", "shard_of", "shard_of_status"]

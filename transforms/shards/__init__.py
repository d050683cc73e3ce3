"""Plan rows to shards: gathering, packing, filling, writing."""

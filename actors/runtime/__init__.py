"""What all entity owners share: partitions, mailbox batching, journal, snapshots, fencing, timers.

`kind.py` is the contract of an entity kind; adding a kind touches nothing else in this folder.
"""

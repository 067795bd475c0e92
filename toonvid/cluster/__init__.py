"""Conversions on several machines: segments are made by the nodes of a Ray cluster.

Sources, targets and an open backend go in; targets come out whose bytes are those of a run on one
machine. The run that was started (the driver) keeps locks, journals and joins, as `toonvid.resume`
does; the nodes make segments and keep nothing. What crosses between them is bytes, paths and plain
values. Entry point: `driver.ClusterRun`.

- connection: starts a cluster on this machine or connects to one
- nodes: the machines of the cluster, and how many segments each makes at once
- driver: hands out segments and takes them back; cluster_job: one source of a run
- request: what a node is told, as plain values
- segment_task: what runs on a node; source_copy: how a node comes by source and engine
- check_frames: whether a node would give the same bytes
- status: how far a run has come
"""
